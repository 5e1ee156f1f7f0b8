"""What is sent for a request, whichever API it is of."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Whole:
    """A body that is sent at once."""

    body: bytes
    status: int = 200


@dataclass(frozen=True, slots=True)
class Stream:
    """Server-sent events: the tokens are sent at the behaviour's rate."""

    opening: bytes
    tokens: tuple[bytes, ...]
    closing: bytes


Answer = Whole | Stream


def whole(value: object, status: int = 200) -> Whole:
    return Whole(json.dumps(value, separators=(",", ":")).encode(), status)


def words(count: int) -> list[str]:
    """The tokens of an answer: ``w0 w1 w2``."""
    return [("" if number == 0 else " ") + f"w{number}" for number in range(count)]

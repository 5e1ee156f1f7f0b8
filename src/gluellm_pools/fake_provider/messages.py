"""Requests as they arrive and answers as they are sent, independent of the version of HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class ApiRequest:
    method: str
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    @classmethod
    def of(
        cls, method: bytes, target: bytes, headers: Iterable[tuple[bytes, bytes]], body: bytearray
    ) -> Self:
        """Decode a request; its query is dropped."""
        names = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
        path = target.decode("latin-1").partition("?")[0]
        return cls(method.decode("latin-1"), path, names, bytes(body))

    @property
    def fields(self) -> dict[str, Any]:
        """The body as a JSON object; empty if it is not one."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


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
    return Whole(_json(value).encode(), status)


def event(data: object, name: str | None = None) -> bytes:
    """Encode one server-sent event; a string is sent unchanged, any other value as JSON."""
    text = data if isinstance(data, str) else _json(data)
    prefix = f"event: {name}\n" if name else ""
    return f"{prefix}data: {text}\n\n".encode()


def words(count: int) -> list[str]:
    """Return the tokens of an answer: ``w0 w1 w2``."""
    return [("" if number == 0 else " ") + f"w{number}" for number in range(count)]


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))

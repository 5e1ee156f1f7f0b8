"""The search for pools inside an SDK's client."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

_DEEPEST = 5


def first_held(
    client: Any, held_by: Callable[[Any], Iterable[Any]], attributes: tuple[str, ...]
) -> list[Any]:
    """What a client, or the first object inside it that has any, holds according to ``held_by``.

    Follows the first of the ``attributes`` that each object has, and not its methods.
    """
    holder = client
    for _ in range(_DEEPEST):
        found = list(held_by(holder))
        if found:
            return found
        inside = (getattr(holder, name, None) for name in attributes)
        holder = next(
            (inner for inner in inside if inner is not None and not inspect.isroutine(inner)), None
        )
        if holder is None:
            break
    return []

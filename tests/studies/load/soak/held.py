"""What holds memory: the histories of pool names, and what refers to objects that are left."""

from __future__ import annotations

import gc
import operator
import types
from collections import Counter
from typing import Any, Final

from opentelemetry.instrumentation.gluellm.concurrency import snapshot_of, snapshot_of_queue
from opentelemetry.instrumentation.gluellm.pool.ledger import Ledgers

_LEVELS: Final = 12
"""Levels of references that are followed: from a lease to the context of a call are eleven."""
_LARGEST_SHARED: Final = 256
"""Largest number of which CPython has a single object."""
_MOST: Final = 60
"""Objects of a level that are followed; one that everything refers to would lead everywhere."""


def blocks_of_histories(ledgers: Ledgers) -> int:
    """Return how many blocks of memory the last requests of all pool names take.

    The histories are bounded, but rarely used names take longer than a run to fill theirs.
    """
    counted: dict[int, Any] = {}
    for ledger in snapshot_of(ledgers.pools.values):
        for history in (ledger.ring, ledger.answered, ledger.sampled, ledger.failed):
            for entry in snapshot_of_queue(history):
                numbers = (one for one in entry if type(one) is int and one > _LARGEST_SHARED)
                counted |= {id(one): one for one in (entry, *numbers)}
    return len(counted)


def referrers(objects: list[Any]) -> list[str]:
    """Return what refers to these objects, and what to that, level by level.

    By types and names: to print an object could raise an exception.
    """
    lines: list[str] = []
    seen: set[int] = set()
    holders: list[Any] = []
    for level in range(1, _LEVELS + 1):
        seen |= {id(objects), id(holders), *map(id, objects)}
        holders = [
            each
            for each in gc.get_referrers(*objects)
            if id(each) not in seen and not _is_own(each, objects)
        ]
        found = Counter(f"{_name(each)}.{_attribute(each, objects)}" for each in holders)
        lines += [f"level {level}: {count} x {words}" for words, count in found.most_common()]
        objects = holders[:_MOST]
        if not objects:
            break
    return lines


def _is_own(one: Any, objects: list[Any]) -> bool:
    """Whether it is part of this search: the arguments of a call, or a frame."""
    if isinstance(one, tuple):
        return len(one) == len(objects) and all(map(operator.is_, one, objects))
    code = getattr(one, "f_code", None) or getattr(one, "gi_code", None)
    return code is not None and code.co_filename == __file__


def _name(one: Any) -> str:
    if isinstance(one, types.FrameType):
        return f"frame of {one.f_code.co_qualname}, line {one.f_lineno}"
    named = isinstance(one, (types.FunctionType, types.CoroutineType, types.MethodType))
    return f"{_kind(one)} {one.__qualname__ if named else ''}".rstrip()


def _attribute(holder: Any, objects: list[Any]) -> str:
    """Where ``holder`` refers to the first of these that it has, and of which type that is."""
    wanted = {id(each): each for each in objects}
    if isinstance(holder, dict):
        names = [*holder.items()]
    elif isinstance(holder, types.FrameType):
        names = [*holder.f_locals.items()]
    else:
        slots = [n for kind in type(holder).__mro__ for n in getattr(kind, "__slots__", ())]
        names = [(name, getattr(holder, name, None)) for name in slots if name != "__dict__"]
        names += getattr(holder, "__dict__", {}).items()
    for name, value in names:
        if id(value) in wanted:
            return f"{name if isinstance(name, str) else 'value'}: {_kind(value)}"
    kinds = (_kind(wanted[id(each)]) for each in gc.get_referents(holder) if id(each) in wanted)
    return f"item: {', '.join(sorted(set(kinds)))}"


def _kind(one: Any) -> str:
    return f"{type(one).__module__}.{type(one).__qualname__}".removeprefix("builtins.")

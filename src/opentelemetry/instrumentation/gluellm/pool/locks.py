"""Locks that stay with nobody where a signal handler raises amid our code."""

from __future__ import annotations

from typing import Any


def acquire(lock: Any, held: list[bool], timeout: float = -1, *, blocking: bool = True) -> bool:
    """Acquire a lock, waiting for ``timeout`` seconds at most, and say whether that was so.

    ``held`` has it as well, and is what the caller's ``finally`` goes by, within which this is
    called: a handler that raises right after the lock is acquired takes the return value away.
    The release stands there, for another function could be interrupted before it releases.
    """
    # Acquired and noted within one call of C, which nothing can part.
    held.extend(map(lock.acquire, (blocking,), (timeout,)))
    return held[0]

"""What every client of the program can do, whichever library it is of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from .places import PLAIN, Places


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a client is to be like."""

    places: Places
    where: str = PLAIN
    connections: int = 6
    pool_timeout: float = 0.5
    timeout: float = 0.6
    """Seconds for the connect and for each read."""


class AsyncClient(Protocol):
    """A client of an event loop."""

    raw: Any
    """The library's own."""

    async def get(self, answer: str) -> None:
        """A whole request."""

    async def open(self, answer: str) -> AsyncIterator[Any]:
        """A request up to its head; what is left of it can be iterated, or dropped."""

    async def close(self) -> None:
        """Close it, also in the middle of requests."""


class SyncClient(Protocol):
    """A client of threads."""

    raw: Any

    def get(self, answer: str) -> None:
        """A whole request."""

    def open(self, answer: str) -> Iterator[Any]:
        """A request up to its head."""

    def close(self) -> None:
        """Close it, also in the middle of requests of other threads."""


class AsyncLibrary(Protocol):
    """Makes clients for event loops."""

    name: str
    expected: tuple[type, ...]
    """What a request may end in."""
    wheres: tuple[str, ...]
    """Where it can go besides a plain server."""

    def __call__(self, wish: Wish) -> AsyncClient:
        """A new client. Called within the loop."""


class SyncLibrary(Protocol):
    """Makes clients for threads."""

    name: str
    expected: tuple[type, ...]
    wheres: tuple[str, ...]

    def __call__(self, wish: Wish) -> SyncClient:
        """A new client."""

"""What every adapter is: the source of events about one library's pools."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from ..pool.lease import Call
from ..pool.registry import PoolRegistry
from ..pool.seams import Seams


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an adapter is told of the rest: where events go, and whose request and pool it is."""

    registry: PoolRegistry
    current_call: Callable[[], Call | None]
    """The any-llm call of the running code, ended or not."""
    provider_for_host: Callable[[str], str | None]
    tell_streaming: bool = False
    """Whether to note which responses are event streams."""
    everything: bool = False
    """Whether pools count that no any-llm call builds or uses."""


class Adapter(ABC):
    """Knows one library's private names. The only kind of module that may.

    Installing and uninstalling are idempotent. A seam that the installed version lacks turns off
    what rests on it and nothing else.
    """

    @abstractmethod
    def install(self, surroundings: Surroundings) -> None:
        """Patch the library, or arrange for it to be patched when it is imported."""

    @abstractmethod
    def uninstall(self) -> None:
        """Put back what was patched. Requests in flight go on undisturbed."""

    @abstractmethod
    def seams(self) -> list[Seams]:
        """The seams of each library that has been looked at so far."""

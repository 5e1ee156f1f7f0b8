"""What every adapter is: the source of events about one library's pools."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from types import ModuleType
from typing import Any, ClassVar

from ..failures import raise_on
from ..patching import Hooks, PatchSet, when_imported
from ..pool.lease import Call
from ..pool.registry import PoolRegistry
from .signatures import fitted


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an adapter is told of the rest: where events go, and whose request and pool it is."""

    registry: PoolRegistry
    current_call: Callable[[], Call | None]
    """The any-llm call of the running code, ended or not."""
    suppressed: Callable[[], bool]
    """Whether the running code has OpenTelemetry's key that suppresses instrumentation."""
    note_streaming: bool = False
    """Whether to note which responses are event streams."""
    everything: bool = False
    """Whether pools count that no any-llm call builds or uses."""


class Adapter(ABC):
    """Knows one library's private names. The only kind of module that may.

    Installing and uninstalling are idempotent. A seam that the installed version lacks turns off
    what rests on it and nothing else.
    """

    MODULES: ClassVar[Mapping[str, str]]
    """The modules that are patched once they are imported, each with its value of
    ``gluellm.pool.library``."""
    LOST: ClassVar[Mapping[str, str]]
    """The seams, each with what is lost without it, in words for a warning."""
    DISTRIBUTIONS: ClassVar[Mapping[str, str]] = {}
    """What a module is installed as, where that has another name."""

    def __init__(self) -> None:
        self._surroundings: Surroundings | None = None
        self._patches = PatchSet()
        self._hooks: dict[str, Hooks] = {}
        self.on_hooks: Callable[[Hooks], None] = _ignore
        """Told of each library's seams when it has been looked at."""

    def install(self, surroundings: Surroundings) -> None:
        """Patch the library, or arrange for it to be patched when it is imported."""
        if self._surroundings is not None:
            return
        self._surroundings = surroundings
        for module in self.MODULES:
            when_imported(module, self._install_module)

    def uninstall(self) -> None:
        """Put back what was patched. Requests in flight go on undisturbed."""
        self._surroundings = None
        self.detach()
        self._patches.undo()
        self._hooks.clear()

    def hooks(self) -> list[Hooks]:
        """The seams of each library that has been looked at so far."""
        return list(self._hooks.values())

    def _install_module(self, module: ModuleType) -> None:
        surroundings = self._surroundings
        name = module.__name__
        if surroundings is None or name not in self.MODULES:
            return
        library = self.MODULES[name]
        if library in self._hooks:
            return
        distribution = self.DISTRIBUTIONS.get(name, name)
        hooks = Hooks(library, version_of(distribution), signals=dict(self.LOST))
        self._hooks[library] = hooks
        try:
            self.patch(module, library, surroundings, hooks.found)
        except Exception as error:
            # What is not looked at is not there. What is patched already finds no lease.
            surroundings.registry.failures.caught(f"{library}.install", error)
            for name in self.LOST:
                hooks.found.setdefault(name, False)
        self.on_hooks(hooks)

    def _replace(
        self,
        owner: Any,
        attribute: str,
        make: Callable[[Any], Any],
        *,
        asynchronous: bool | None = None,
    ) -> bool:
        """Replace a method, where the installed version has it as we know it; whether it has."""
        try:
            if owner is None or not callable(getattr(owner, attribute, None)):
                return False
            package = owner.__module__.partition(".")[0]
            self._patches.wrap(owner, attribute, fitted(make, asynchronous, package))
        except Exception as error:
            raise_on(error)
            return False  # of another make: a class that refuses attributes, for instance
        return True

    @abstractmethod
    def patch(
        self,
        module: ModuleType,
        library: str,
        surroundings: Surroundings,
        found: dict[str, bool],
    ) -> None:
        """Patch the library's module, and note in ``found`` which seams it has."""

    @abstractmethod
    def detach(self) -> None:
        """The installation is undone: what can't be taken back passes everything on from now."""


def version_of(distribution: str) -> str:
    """A distribution and its version, in words."""
    try:
        return f"{distribution} {version(distribution)}"
    except Exception as error:  # not only PackageNotFoundError: it can be of any make
        raise_on(error)
        return f"{distribution} of an unknown version"


def _ignore(hooks: Hooks) -> None:
    pass

"""The base class of the adapters, the sources of events about each library's pools."""

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
    """What an adapter gets from the installation: the registry, attribution and settings."""

    registry: PoolRegistry
    current_call: Callable[[], Call | None]
    """The any-llm call of the running code, ended or not."""
    suppressed: Callable[[], bool]
    """Whether OpenTelemetry's key that suppresses instrumentation is set in the running code."""
    note_streaming: bool = False
    """Whether to note which responses are event streams."""
    everything: bool = False
    """Whether pools that no any-llm call builds or uses are in scope (``scope="all"``)."""


class Adapter(ABC):
    """Source of events about one library's pools. Only adapters use its private names.

    ``install`` and ``uninstall`` are idempotent. A hook that the installed version lacks turns off
    only the signals that depend on it.
    """

    MODULES: ClassVar[Mapping[str, str]]
    """Modules to patch once they are imported, each with its ``gluellm.pool.library`` value."""
    LOST: ClassVar[Mapping[str, str]]
    """Names of the hooks, each with what is lost without it, worded for a warning."""
    DISTRIBUTIONS: ClassVar[Mapping[str, str]] = {}
    """Distribution names by module, for modules whose distribution has another name."""

    def __init__(self) -> None:
        self._surroundings: Surroundings | None = None
        self._patches = PatchSet()
        self._hooks: dict[str, Hooks] = {}
        self.on_hooks: Callable[[Hooks], None] = _ignore
        """Called with a library's hooks once they have been probed."""

    def install(self, surroundings: Surroundings) -> None:
        """Patch the library, or arrange for it to be patched when it is imported."""
        if self._surroundings is not None:
            return
        self._surroundings = surroundings
        for module in self.MODULES:
            when_imported(module, self._install_module)

    def uninstall(self) -> None:
        """Restore the patched attributes. Requests in flight are not disturbed."""
        self._surroundings = None
        self.detach()
        self._patches.undo()
        self._hooks.clear()

    def hooks(self) -> list[Hooks]:
        """The hooks of each library that has been probed so far."""
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
            # Hooks that were not probed count as missing. Replacements that are already in place
            # find no lease.
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
        """Replace a method; return False if the installed version has no compatible one."""
        try:
            if owner is None or not callable(getattr(owner, attribute, None)):
                return False
            package = owner.__module__.partition(".")[0]
            self._patches.wrap(owner, attribute, fitted(make, asynchronous, package))
        except Exception as error:
            raise_on(error)
            return False  # incompatible: a class that refuses attributes, for example
        return True

    @abstractmethod
    def patch(
        self,
        module: ModuleType,
        library: str,
        surroundings: Surroundings,
        found: dict[str, bool],
    ) -> None:
        """Patch the library's module, and set in ``found`` which hooks it has."""

    @abstractmethod
    def detach(self) -> None:
        """Turn off the hooks: replacements that can't be removed pass everything on from now."""


def version_of(distribution: str) -> str:
    """Name and version of a distribution, worded for a message."""
    try:
        return f"{distribution} {version(distribution)}"
    except Exception as error:  # not only PackageNotFoundError: metadata can be malformed
        raise_on(error)
        return f"{distribution} of an unknown version"


def _ignore(hooks: Hooks) -> None:
    pass

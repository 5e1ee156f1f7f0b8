"""The base class of the adapters, the sources of events about each library's pools."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, ClassVar

from ..failures import raise_on, warn_once
from ..patching import Hooks, PatchSet, version_of, when_imported
from .scope import LibraryReader, Scope
from .signatures import fitted

ScopeOf = Callable[[str, LibraryReader[Any]], Scope]
"""Makes an installation's scope for a library (``gluellm.pool.library``)."""

LOST_IN_ALL = {
    "read": "whether a response is being read or unread",
    "state": "open connections, limits and occupancy",
    "pool_owner": "the provider of pools that are built inside an any-llm call",
    "pool_close": "whether pools were closed or garbage-collected",
}
"""Hooks that every adapter has, each with what is not observed without it."""


class Adapter(ABC):
    """Source of events about one library's pools. Only adapters use its private names.

    ``install`` and ``uninstall`` are idempotent. A hook that the installed version lacks turns off
    only the signals that depend on it.
    """

    MODULES: ClassVar[Mapping[str, str]]
    """Modules that this class can patch, each with its ``gluellm.pool.library`` value."""
    LOST: ClassVar[Mapping[str, str]]
    """Names of the hooks, each with what is not observed without it, worded for a warning."""
    DISTRIBUTIONS: ClassVar[Mapping[str, str]] = {}
    """Distribution names by module, for modules whose distribution has another name."""
    INSTALLED_OVER: ClassVar[Mapping[str, str]] = {}
    """By module: the distribution that puts another library under the module's name."""

    reader: LibraryReader[Any]

    def __init__(self, module: str, on_hooks: Callable[[Hooks], None]) -> None:
        self.module = module
        self.library = self.MODULES[module]
        self.hooks: Hooks | None = None
        """The hooks of the library, once they have been probed."""
        self.replaced_by = ""
        """Name and version of the distribution that is installed over the library."""
        self._on_hooks = on_hooks
        self._scope: Scope | None = None
        self._patches = PatchSet()

    def install(self, scope_of: ScopeOf) -> None:
        """Patch the library, or arrange for it to be patched when it is imported."""
        if self._scope is None:
            self._scope = scope_of(self.library, self.reader)
            when_imported(self.module, self._install_module)

    def uninstall(self) -> None:
        """Restore the patched attributes. Requests in flight are not disturbed."""
        self.hooks = None  # first: without a scope, `_replace` finds no method
        self._scope = None
        self._patches.undo()

    def track(self, pool: Any, host: str, timeouts: Mapping[str, Any]) -> None:
        """Track a pool before its next request, if it is in scope and the library is patched."""
        if self._scope is not None and self.hooks is not None:
            first = (host, timeouts.get("read_timeout"), None)
            tracker = self._scope.enter(pool, lambda: first)
            if tracker is not None and tracker.acquire_timeout is None:
                tracker.acquire_timeout = timeouts.get("pool_timeout")
                tracker.ledger.acquire_timeout = tracker.acquire_timeout

    def probe(self, name: str, works: bool) -> bool:
        """Record whether a hook works; return False if it does not or an earlier probe failed."""
        hooks = self.hooks
        if hooks is None:
            return False  # uninstalled meanwhile: a pool may be built in another thread
        found = hooks.found
        found[name] = works = found.get(name, True) and works
        return works

    def hook(
        self,
        name: str,
        owner: Any,
        attribute: str,
        make: Callable[[Any], Any],
        *,
        asynchronous: bool | None = False,
    ) -> bool:
        """Replace a method for a hook, unless a probe of the hook failed. Record whether it works.

        ``asynchronous`` is whether the method has to be a coroutine function, None for either.
        """
        return self.probe(name, True) and self.probe(
            name, self._replace(owner, attribute, make, asynchronous=asynchronous)
        )

    def report(self, hooks: Hooks) -> None:
        """Report which hooks work, unless they were uninstalled meanwhile, in another thread."""
        if self.hooks is hooks:
            self._on_hooks(hooks)

    def _install_module(self, module: ModuleType) -> None:
        scope = self._scope
        # A module may be another one's alias (``httpx2.alias_httpx()``).
        if scope is None or module.__name__ != self.module or self.hooks is not None:
            return
        other = self.INSTALLED_OVER.get(self.module)
        if other is not None and version_of(other) == f"{other} {module.__version__}":
            self.replaced_by = version_of(other)
            warn_once(
                f"{self.replaced_by} is installed over {self.library}: no request through "
                f"{self.library} is observed. Requests are not affected."
            )
            return
        distribution = self.DISTRIBUTIONS.get(self.module, self.module)
        self.hooks = hooks = Hooks(self.library, version_of(distribution), signals=dict(self.LOST))
        try:
            self.patch(module, scope)
        except Exception as error:
            # Hooks that were not probed count as missing. Replacements that are already in place
            # find no lease.
            scope.registry.failures.caught(f"{self.library}.install", error)
            for name in self.LOST:
                hooks.found.setdefault(name, False)
        self.report(hooks)

    def _replace(
        self,
        owner: Any,
        attribute: str,
        make: Callable[[Any], Any],
        *,
        asynchronous: bool | None = None,
    ) -> bool:
        """Replace a method or a module's function.

        Return False if the installed version has no compatible one.
        """
        try:
            if self._scope is None or not callable(getattr(owner, attribute, None)):
                return False
            package = getattr(owner, "__module__", owner.__name__).partition(".")[0]
            self._patches.wrap(owner, attribute, fitted(make, asynchronous, package))
        except Exception as error:
            raise_on(error)  # some methods are replaced during a request
            return False  # incompatible: a class that refuses attributes, for example
        return True

    @abstractmethod
    def patch(self, module: ModuleType, scope: Scope) -> None:
        """Patch the library's module with `hook`, and record all of its hooks."""


def imported(name: str, attribute: str = "") -> Any:
    """A module of a library, or an attribute of one.

    None if the installed version has none or importing it fails, which can raise anything.
    """
    try:
        module = importlib.import_module(name)
    except Exception:
        return None
    return getattr(module, attribute, None) if attribute else module

"""Reversible patches of class attributes, applied once per class identity."""

from __future__ import annotations

import contextlib
import functools
import inspect
import itertools
import sys
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, ClassVar

import wrapt

from .concurrency import acquire, in_forked_child, snapshot_of
from .failures import raise_on, warn
from .text import where_it_failed

USUAL_MARK = "__gluellm_patch__"
LIMITS_MARK = "__gluellm_limits_patch__"
"""Mark of patches that set limits: applied and undone independently of the instrumentation's."""
MARKS = (USUAL_MARK, LIMITS_MARK)

_LOCK_TIMEOUT = 1.0
_lock = threading.RLock()


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Hold the lock: patch sets of several purposes patch the same classes, from any thread.

    After `_LOCK_TIMEOUT` seconds, go on without it; see the timeout rule of `acquire`.
    """
    lock = _lock
    held: list[bool] = []
    try:
        acquire(lock, held, _LOCK_TIMEOUT)
        yield
    finally:
        if held and held[0]:
            lock.release()


class _Patch:
    """One patch. Its replacement refers to it, under the mark, and so keeps it alive.

    A PatchSet holds its patches weakly, and a patch its class: a class that was created for one
    call can be collected although it was patched.
    """

    __slots__ = ("__weakref__", "live", "name", "original", "owner", "replacement")

    def __init__(self, owner: type, name: str, original: Any, replacement: Any) -> None:
        self.owner = weakref.ref(owner)
        self.name = name
        self.original = original
        self.replacement = replacement
        self.live = True

    def undo(self) -> None:
        self.live = False
        owner = self.owner()
        if owner is None or owner.__dict__.get(self.name) is not self.replacement:
            return
        original = self.original
        # Skip patches of other sets that lie below and were undone while this one covered them.
        while (under := _patch_of(original)) is not None and not under.live:
            original = under.original
        if original is _INHERITED:
            delattr(owner, self.name)
        else:
            setattr(owner, self.name, original)


_INHERITED = object()


def _patch_of(attribute: Any) -> _Patch | None:
    """Return the patch whose replacement is this very attribute of a class."""
    function = attribute.__func__ if isinstance(attribute, classmethod) else attribute
    for mark in MARKS:
        patch = getattr(function, mark, None)
        if isinstance(patch, _Patch) and patch.replacement is attribute:
            return patch
    return None


def is_patched(function: Any) -> bool:
    """Return whether a function is a replacement of the instrumentation, or wraps one."""
    return isinstance(getattr(function, USUAL_MARK, None), _Patch)


def is_hooked(module: str, owner: str, method: str) -> bool:
    """Return whether a method of a class is patched, in a module that may not be imported."""
    return is_patched(getattr(getattr(sys.modules.get(module), owner, None), method, None))


class PatchSet:
    """Patches that are undone together.

    Sets with different marks patch the same attributes independently, and the one that is undone
    last restores the identical original.

    A replacement must call the original once its installation is gone. If third parties wrapped it,
    it cannot be removed and stays in the call chain.
    """

    def __init__(self, mark: str = USUAL_MARK) -> None:
        self._mark = mark
        self._patches: weakref.WeakValueDictionary[int, _Patch] = weakref.WeakValueDictionary()
        self._numbers = itertools.count()

    def wrap(self, owner: type, name: str, make: Callable[[Any], Any]) -> bool:
        """Replace ``owner.name`` with ``make(original)``.

        Does nothing and returns False if the attribute is already patched with this mark: a class
        can be reached under several names (``httpx2.alias_httpx()`` makes ``httpx`` *be* httpx2).
        A replacement that third parties wrapped counts as patched until it is undone.

        Keeps name, docstring and signature of the original, since mocking libraries use them to
        decide what they may replace. For a class method, ``make`` receives and returns the plain
        function.

        Raises AttributeError if the class has no such attribute.
        """
        with _one_at_a_time():
            original = getattr(owner, name)
            old = getattr(original, self._mark, None)
            if isinstance(old, _Patch) and old.live and old.name == name and old.owner() is owner:
                return False
            raw = owner.__dict__.get(name, _INHERITED)
            if isinstance(raw, classmethod):
                original = raw.__func__
            replacement = functools.wraps(original)(make(original))
            if inspect.iscoroutinefunction(original):
                _mark_coroutine_function(replacement)
            attribute = classmethod(replacement) if isinstance(raw, classmethod) else replacement
            self._set(owner, name, raw, attribute, replacement)
            return True

    def follow_subclasses(self, base: type[Any], follow: Callable[[type], None]) -> None:
        """Call ``follow`` with each subclass of ``base``, now and when further ones are defined."""
        with _one_at_a_time():
            raw: Any = base.__dict__.get("__init_subclass__", _INHERITED)

            def __init_subclass__(cls: type, /, **kwargs: Any) -> None:
                if raw is _INHERITED:
                    super(base, cls).__init_subclass__(**kwargs)  # type: ignore[misc]
                else:
                    raw.__get__(None, cls)(**kwargs)
                follow(cls)

            attribute: Any = classmethod(__init_subclass__)
            self._set(base, "__init_subclass__", raw, attribute, __init_subclass__)
        for cls in _subclasses(base):
            follow(cls)

    def undo(self) -> None:
        """Restore the identical originals, in reverse order, unless third parties replaced them."""
        with _one_at_a_time():
            for number, patch in sorted(self._patches.items(), reverse=True):
                # A patch that third parties removed must not keep the others from being undone.
                with contextlib.suppress(AttributeError):
                    patch.undo()
                # Last: if a signal handler raises before this line, undo() can be repeated.
                self._patches.pop(number, None)

    def _set(self, owner: type, name: str, raw: Any, attribute: Any, marked: Any) -> None:
        patch = _Patch(owner, name, raw, attribute)
        setattr(marked, self._mark, patch)
        # Registered before it is applied, since a signal handler may raise in between. Undoing a
        # patch that was not applied does nothing.
        self._patches[next(self._numbers)] = patch
        setattr(owner, name, attribute)


def _mark_coroutine_function(function: Any) -> None:
    """Let `inspect` recognize a plain function that returns a coroutine as a coroutine function."""
    if sys.version_info >= (3, 12):
        inspect.markcoroutinefunction(function)
    elif sys.implementation.name == "cpython":
        # CPython 3.11 itself reads the flag only in code that creates a coroutine.
        code = function.__code__
        function.__code__ = code.replace(co_flags=code.co_flags | inspect.CO_COROUTINE)


def _subclasses(base: type[Any]) -> Iterator[type[Any]]:
    for cls in base.__subclasses__():
        yield cls
        yield from _subclasses(cls)


class ModulePatches(ABC):
    """Patches of modules, each applied when its module is imported, and undone together."""

    MODULES: ClassVar[tuple[str, ...]]
    """Names of the modules that `_patch` patches."""

    def __init__(self, mark: str = USUAL_MARK) -> None:
        self._on = False
        self._patches = PatchSet(mark)
        self._awaiting_imports = False
        self._modules: dict[str, Any] = {}

    def install(self) -> None:
        """Patch each module now, or as soon as it is imported. A second call has no effect."""
        with _one_at_a_time():
            if self._on:
                return
            self._on = True
            for module in self._modules.values():
                self._patch(module)
            if self._awaiting_imports:
                return
            self._awaiting_imports = True
        # Outside of the lock to avoid a deadlock: an import in another thread holds wrapt's lock
        # while it calls the hook, which takes this one.
        for name in self.MODULES:
            when_imported(name, self._on_import)

    def uninstall(self) -> None:
        """Restore the identical functions. Wrappers that third parties wrapped become inactive."""
        with _one_at_a_time():
            self._on = False
            self._patches.undo()

    def _on_import(self, module: Any) -> None:
        with _one_at_a_time():
            self._modules[module.__name__] = module
            if self._on:
                self._patch(module)

    @abstractmethod
    def _patch(self, module: Any) -> None: ...


@in_forked_child
def _renew_lock() -> None:
    global _lock
    _lock = threading.RLock()


_awaiting: dict[str, dict[weakref.WeakMethod[Callable[[Any], None]], None]] = {}
"""Callbacks by the name of the module that they await."""


def when_imported(name: str, callback: Callable[[Any], None]) -> None:
    """Call the bound method ``callback`` with a module, now or when it is imported.

    The callback's object is held weakly. Import hooks cannot be removed, so a module has one for
    all callbacks. A failure of the callback is logged, and does not reach the application's import
    statement.
    """
    first = name not in _awaiting
    callbacks = _awaiting.setdefault(name, {})
    callbacks[weakref.WeakMethod(callback, lambda gone: callbacks.pop(gone, None))] = None
    # A module that somebody put into sys.modules was never imported.
    if not first and _awaiting.get(name) is callbacks and name not in sys.modules:
        return

    def hook(module: Any) -> None:
        if _awaiting.get(name) is callbacks:
            del _awaiting[name]
        for reference in snapshot_of(callbacks.keys):
            target = reference() if callbacks.pop(reference, False) is None else None
            try:
                if target is not None:
                    target(module)
            except Exception as error:
                raise_on(error)
                warn("Could not set up instrumentation for %s: %s", name, where_it_failed(error))

    try:
        wrapt.register_post_import_hook(hook, name)
    except Exception as error:
        raise_on(error)
        warn("Could not register a hook for the import of %s: %s", name, where_it_failed(error))
        if name in sys.modules:
            hook(sys.modules[name])


@dataclass(slots=True)
class Hooks:
    """The hooks of one library, as probed in the installed version."""

    library: str
    """The value of ``gluellm.hook.library``."""
    version: str
    """Name and version of the distribution, as text."""
    found: dict[str, bool] = field(default_factory=dict)
    signals: dict[str, str] = field(default_factory=dict)
    """What is not observed without the hook, worded for a warning."""

    def missing(self) -> list[str]:
        """Return the hooks that the installed version lacks."""
        return [hook for hook, works in snapshot_of(self.found.items) if not works]


def version_of(distribution: str) -> str:
    """Return name and version of a distribution, worded for a message."""
    try:
        return f"{distribution} {version(distribution)}"
    except Exception:  # not only PackageNotFoundError: metadata can be malformed
        return f"{distribution} of an unknown version"

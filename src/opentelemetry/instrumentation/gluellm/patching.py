"""Reversible patches of class attributes, applied once per class identity."""

from __future__ import annotations

import contextlib
import functools
import inspect
import itertools
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import wrapt

from .concurrency import acquire
from .failures import raise_on, warn
from .text import where_it_failed

USUAL_MARK = "__gluellm_patch__"
LIMITS_MARK = "__gluellm_limits_patch__"
"""For patches that set limits: they come and go beside the instrumentation's, in any order."""
MARKS = (USUAL_MARK, LIMITS_MARK)

_LOCK_TIMEOUT = 1.0
_lock = threading.RLock()


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Sets of several purposes patch the same classes, each in whichever thread it likes.

    Not without end: the garbage collector may run in here, and a finalizer that logs waits for the
    log's lock, whose holder, a handler that sends over HTTP, may wait for this one.
    """
    lock = _lock
    held: list[bool] = []
    try:
        acquire(lock, held, _LOCK_TIMEOUT)
        yield
    finally:
        if held and held[0]:
            lock.release()


def _renew_lock() -> None:
    # In a forked child its holder may be a thread that is not there.
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class _Patch:
    """One patch. It lives as long as its replacement does, whose mark it is.

    A PatchSet knows its patches weakly, and a patch its class: a class that was made for one call
    and patched goes away with it.
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
        # What another set put under ours, and took back while ours was over it.
        while (under := _patch_of(original)) is not None and not under.live:
            original = under.original
        if original is _INHERITED:
            delattr(owner, self.name)
        else:
            setattr(owner, self.name, original)


_INHERITED = object()


def _patch_of(attribute: Any) -> _Patch | None:
    """The patch that this very attribute of a class is the replacement of."""
    function = attribute.__func__ if isinstance(attribute, classmethod) else attribute
    for mark in MARKS:
        patch = getattr(function, mark, None)
        if isinstance(patch, _Patch) and patch.replacement is attribute:
            return patch
    return None


def is_patched(function: Any) -> bool:
    """Whether a function is a replacement of ours, or wraps one."""
    return isinstance(getattr(function, USUAL_MARK, None), _Patch)


class PatchSet:
    """Patches that are undone together.

    Sets with another ``mark`` patch the same attributes independently, and whichever of them is
    undone last puts the identical original back.

    A replacement must itself fall through to the original once its installation is gone: where
    someone wrapped our replacement since, it can't be taken out and stays in the call chain.
    """

    def __init__(self, mark: str = USUAL_MARK) -> None:
        self._mark = mark
        self._patches: weakref.WeakValueDictionary[int, _Patch] = weakref.WeakValueDictionary()
        self._numbers = itertools.count()

    def wrap(self, owner: type, name: str, make: Callable[[Any], Any]) -> bool:
        """Replace ``owner.name`` by ``make(original)``.

        Returns False, and does nothing, where the attribute is ours already: a class can be
        reached under several names (``httpx2.alias_httpx()`` makes ``httpx`` *be* httpx2). Ours
        with somebody's wrapper around it is ours still, until it is undone.

        Name, docstring and signature of the original are kept, since mocking libraries decide by
        them what they may replace. Of a class method ``make`` gets and gives the plain function.

        Raises AttributeError when the class has no such attribute.
        """
        with _one_at_a_time():
            return self._wrap(owner, name, make)

    def _wrap(self, owner: type, name: str, make: Callable[[Any], Any]) -> bool:
        original = getattr(owner, name)
        mark = getattr(original, self._mark, None)
        if isinstance(mark, _Patch) and mark.live and mark.name == name and mark.owner() is owner:
            return False
        raw = owner.__dict__.get(name, _INHERITED)
        if isinstance(raw, classmethod):
            original = raw.__func__
        replacement = functools.wraps(original)(make(original))
        if inspect.iscoroutinefunction(original) and hasattr(inspect, "markcoroutinefunction"):
            # A plain function that hands back a coroutine (Python >= 3.12 can tell so).
            inspect.markcoroutinefunction(replacement)
        attribute = classmethod(replacement) if isinstance(raw, classmethod) else replacement
        self._set(owner, name, raw, attribute, replacement)
        return True

    def add(self, owner: type, name: str, make: Callable[[], classmethod[Any, Any, Any]]) -> bool:
        """Give ``owner`` a class method of its own that it hasn't got; False where it has one."""
        with _one_at_a_time():
            if name in owner.__dict__:
                return False
            attribute = make()
            self._set(owner, name, _INHERITED, attribute, attribute.__func__)
        return True

    def undo(self) -> None:
        """Put the identical originals back, in reverse order, where the attribute is still ours."""
        with _one_at_a_time():
            for number, patch in sorted(self._patches.items(), reverse=True):
                # One that somebody took out meanwhile must not keep the others in.
                with contextlib.suppress(AttributeError):
                    patch.undo()
                # Last, since a signal handler may raise before, and then this is called again.
                self._patches.pop(number, None)

    def _set(self, owner: type, name: str, raw: Any, attribute: Any, marked: Any) -> None:
        patch = _Patch(owner, name, raw, attribute)
        setattr(marked, self._mark, patch)
        # Known before it is there: a signal handler may raise in between, and undoing one that
        # isn't there does nothing.
        self._patches[next(self._numbers)] = patch
        setattr(owner, name, attribute)


def when_imported(name: str, callback: Callable[[Any], None]) -> None:
    """Call the bound method ``callback`` with the module once it is imported, or now if it is.

    Import hooks can't be taken back, so the callback's object is held weakly. A failure in it stays
    out of the import statement of the host.
    """
    reference = weakref.WeakMethod(callback)

    def hook(module: Any) -> None:
        target = reference()
        if target is not None:
            try:
                target(module)
            except Exception as error:
                raise_on(error)
                warn("could not set up instrumentation for %s: %s", name, where_it_failed(error))

    try:
        wrapt.register_post_import_hook(hook, name)
    except Exception as error:
        raise_on(error)
        warn("can't wait for the import of %s: %s", name, where_it_failed(error))
        if name in sys.modules:
            hook(sys.modules[name])


@dataclass(slots=True)
class Hooks:
    """Which seams of one library work in the installed version."""

    library: str
    """The value of ``gluellm.pool.library``."""
    version: str
    """The distribution that was looked at, with its version, in words."""
    found: dict[str, bool] = field(default_factory=dict)
    signals: dict[str, str] = field(default_factory=dict)
    """What is lost without the seam, in words for a warning."""

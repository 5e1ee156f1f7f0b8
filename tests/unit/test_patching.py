"""Applying and removing patches."""

import asyncio
import contextlib
import functools
import gc
import inspect
import logging
import sys
import threading
import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm import patching
from opentelemetry.instrumentation.gluellm.patching import LIMITS_MARK, PatchSet, when_imported


def make_target() -> type:
    """A class to be patched."""

    class Target:
        """A class of a library."""

        def method(self, url: str, *, timeout: float | None = None) -> str:
            """Do it."""
            return f"{url} {timeout}"

        async def coroutine(self, url: str) -> str:
            """Do it later."""
            return url

        @classmethod
        def build(cls, name: str) -> tuple[type, str]:
            """Build one."""
            return cls, name

    return Target


def counting(calls: list[str]) -> Callable[[Any], Any]:
    """A replacement that notes each call."""

    def make(original: Any) -> Any:
        def replacement(*args: Any, **kwargs: Any) -> Any:
            calls.append(original.__name__)
            return original(*args, **kwargs)

        return replacement

    return make


@pytest.fixture
def target() -> Any:
    return make_target()


@pytest.fixture
def patches() -> PatchSet:
    return PatchSet()


@pytest.fixture
def calls() -> list[str]:
    return []


def test_replacement_is_called_and_a_class_method_stays_one(target, patches, calls):
    """It passes everything on; a class method gets its class, also on a subclass."""
    patches.wrap(target, "method", counting(calls))
    patches.wrap(target, "build", counting(calls))
    assert target().method("a", timeout=1.0) == "a 1.0"
    sub = type("Sub", (target,), {})
    assert target.build("a") == (target, "a")
    assert sub.build("b") == (sub, "b")
    assert calls == ["method", "build", "build"]


@pytest.mark.parametrize("name", ["method", "coroutine"])
def test_replacement_looks_like_the_original(target, patches, name):
    """Mocks decide by name, docstring and signature; frameworks ask whether they have to await."""
    original = vars(target)[name]
    patches.wrap(target, name, counting([]))
    replacement = vars(target)[name]
    for attribute in ("__name__", "__qualname__", "__doc__", "__module__"):
        assert getattr(replacement, attribute) == getattr(original, attribute)
    assert inspect.signature(replacement) == inspect.signature(original)
    assert replacement.__wrapped__ is original
    assert inspect.iscoroutinefunction(replacement) is (name == "coroutine")
    patches.undo()

    def make(original):
        async def replacement(*args):
            return await original(*args)

        return replacement

    patches.wrap(target, "coroutine", make)
    assert inspect.iscoroutinefunction(target.coroutine)


def test_replacement_of_a_coroutine_function_runs_at_the_call_and_the_original_when_awaited(
    target, patches, calls
):
    """On every Python: call sites are found and closes are noted at the call."""
    original = target.coroutine

    async def coroutine(self: Any, url: str) -> str:
        calls.append("awaited")
        return await original(self, url)

    target.coroutine = coroutine
    patches.wrap(target, "coroutine", counting(calls))
    pending = target().coroutine("a")
    assert inspect.iscoroutine(pending)
    assert calls == ["coroutine"]
    assert asyncio.run(pending) == "a"
    assert calls == ["coroutine", "awaited"]


def test_callbacks_of_a_module_that_is_never_imported_do_not_pile_up():
    """Each installation awaits the imports of a dozen modules."""

    class Listener:
        def heard(self, module: Any) -> None: ...

    def kept() -> int:
        gc.collect()
        return len(gc.get_objects())

    when_imported("never_imported", Listener().heard)
    before = kept()
    for _ in range(20):
        when_imported("never_imported", Listener().heard)
    assert kept() - before < 10


def test_class_reached_under_two_names_is_patched_once(target, patches, calls):
    """After httpx2.alias_httpx() both libraries' names mean the same classes."""
    second = PatchSet()
    assert patches.wrap(target, "method", counting(calls)) is True
    assert patches.wrap(target, "method", counting(calls)) is False
    assert second.wrap(target, "method", counting(calls)) is False
    target().method("a")
    assert calls == ["method"]
    second.undo()
    target().method("a")
    assert calls == ["method", "method"]


def wrap_foreign(target: Any) -> Any:
    """A foreign wrapper around the current attribute."""
    inner = vars(target)["method"]

    @functools.wraps(inner)
    def foreign(*args: Any, **kwargs: Any) -> str:
        return "foreign " + inner(*args, **kwargs)

    target.method = foreign
    return foreign


def test_foreign_wrapper_on_top_stays(target, patches, calls):
    """A live replacement below it is not repeated. After undo(), a new one goes on top."""
    patches.wrap(target, "method", counting(calls))
    foreign = wrap_foreign(target)
    assert patches.wrap(target, "method", counting(calls)) is False
    assert target().method("a") == "foreign a None"
    assert calls == ["method"]
    patches.undo()
    assert vars(target)["method"] is foreign
    assert target().method("a") == "foreign a None"
    anew = []
    assert patches.wrap(target, "method", counting(anew)) is True
    assert target().method("a") == "foreign a None"
    assert anew == ["method"]
    patches.undo()
    assert vars(target)["method"] is foreign


def test_inherited_method_is_patched_in_the_given_class(target, patches, calls):
    """The base is left alone, and undoing leaves the subclass without one of its own."""
    sub = type("Sub", (target,), {})
    patches.wrap(sub, "method", counting(calls))
    target().method("a")
    assert calls == []
    sub().method("a")
    assert calls == ["method"]
    patches.undo()
    assert "method" not in vars(sub)
    own = type("Own", (target,), {"method": lambda self, url: url})
    assert patches.wrap(target, "method", counting([]))
    assert patches.wrap(own, "method", counting([]))
    with pytest.raises(AttributeError):  # a missing hook is the caller's to handle
        patches.wrap(target, "missing", counting([]))


def test_patched_class_is_garbage_collected(patches):
    """A class that was made for one call must not live as long as the instrumentation."""
    target = make_target()
    patches.wrap(target, "method", counting([]))
    reference = weakref.ref(target)
    del target
    gc.collect()
    assert reference() is None
    patches.undo()


# Modules that come later


class Listener:
    """Waits for a module."""

    def __init__(self) -> None:
        self.modules: list[ModuleType] = []

    def heard(self, module: ModuleType) -> None:
        """Record an imported module."""
        self.modules.append(module)

    def fails(self, module: ModuleType) -> None:
        """Raise, like a broken callback."""
        raise RuntimeError(module.__name__)


@pytest.fixture
def module(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module that can be imported, and has not been yet."""
    name = f"gluellm_late_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text("VALUE = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def test_callback_is_called_for_a_module_that_is_imported_later(module):
    """Libraries are often imported at the first call. Import hooks stay, so they refer weakly."""
    listener, gone = Listener(), Listener()
    when_imported(module, listener.heard)
    when_imported(module, gone.heard)
    reference = weakref.ref(gone)
    del gone
    gc.collect()
    assert reference() is None
    assert listener.modules == []
    found = __import__(module)
    assert listener.modules == [found]
    when_imported(module, listener.heard)
    assert listener.modules == [found, found]


def test_module_that_was_put_into_sys_modules_is_found(module):
    """It was awaited before, and no import statement has run since."""
    first, second = Listener(), Listener()
    when_imported(module, first.heard)
    sys.modules[module] = ModuleType(module)
    when_imported(module, second.heard)
    assert second.modules == [sys.modules[module]]


@pytest.mark.parametrize("log_raises", [False, True])
def test_log_that_raises_stays_out_of_the_import(module, caplog, log_raises):
    """An application's import must not raise because of this package or the log."""
    logger = logging.getLogger("opentelemetry.instrumentation.gluellm")
    levels = []

    def record_level(record):
        levels.append(record.levelname)
        if log_raises:
            raise RuntimeError
        return True

    logger.addFilter(record_level)
    try:
        listener = Listener()
        when_imported(module, listener.fails)
        assert __import__(module).VALUE == 1
    finally:
        logger.removeFilter(record_level)
    assert levels == ["WARNING"]


@pytest.mark.parametrize("name", ["method", "coroutine", "build"])
@pytest.mark.parametrize("first_undone", [0, 1])
def test_two_patch_sets_can_be_applied_and_removed_in_any_order(target, name, first_undone):
    """Each is called once while it is applied. Removing both restores the identical object."""
    before = dict(vars(target))
    calls = ([], [])
    sets = (PatchSet(), PatchSet(LIMITS_MARK))
    for patches, seen in zip(sets, calls, strict=True):
        assert patches.wrap(target, name, counting(seen))
        assert not patches.wrap(target, name, counting(seen))
    run(target, name)
    assert calls == ([name], [name])
    sets[first_undone].undo()
    assert vars(target)[name] is not before[name]
    sets[1 - first_undone].undo()
    assert vars(target)[name] is before[name]
    assert dict(vars(target)) == before


@pytest.mark.parametrize("first_undone", [0, 1])
def test_inherited_function_of_two_patch_sets_is_inherited_again(first_undone):
    """The class has no function of its own, as before."""

    class Child(make_target()):
        pass

    sets = (PatchSet(), PatchSet(LIMITS_MARK))
    for patches in sets:
        assert patches.wrap(Child, "method", counting([]))
    sets[first_undone].undo()
    sets[1 - first_undone].undo()
    assert "method" not in vars(Child)


def test_two_patch_sets_can_be_applied_and_removed_in_two_threads():
    """``uninstrument()`` and ``reset_pools()`` do so at the same time."""
    first, second = PatchSet(), PatchSet(LIMITS_MARK)
    threads = []

    def apply_and_undo():
        second.wrap(Derived, "method", counting([]))
        second.undo()

    class WhileDeleting(type):
        """Applies and removes the second set while the first one is removed."""

        def __delattr__(cls, name):
            if not threads:
                threads.append(threading.Thread(target=apply_and_undo))
                threads[0].start()
                threads[0].join(timeout=0.2)  # it waits for its turn
            super().__delattr__(name)

    class Base(metaclass=WhileDeleting):
        def method(self):
            return "original"

    class Derived(Base):
        def other(self):
            return "original"

    before = Derived.other
    first.wrap(Derived, "other", counting([]))
    first.wrap(Derived, "method", counting([]))
    first.undo()
    threads[0].join()
    assert "method" not in vars(Derived)
    assert Derived().method() == "original"
    assert Derived.other is before
    assert first.wrap(Derived, "other", counting([]))  # it does not look patched
    first.undo()


@pytest.mark.parametrize("foreign_between", [False, True])
def test_patch_set_reapplied_under_another_leaves_nothing_behind(target, patches, foreign_between):
    """A third-party wrapper between the two stays."""
    expected = vars(target)["method"]
    other = PatchSet(LIMITS_MARK)
    patches.wrap(target, "method", counting([]))
    if foreign_between:
        expected = wrap_foreign(target)
    other.wrap(target, "method", counting([]))
    under = vars(target)["method"]
    for _ in range(3):
        patches.undo()
        assert vars(target)["method"] is under
        assert patches.wrap(target, "method", counting([]))
    patches.undo()
    other.undo()
    assert vars(target)["method"] is expected


def run(target: Any, name: str) -> None:
    """Call a function of a target, whatever kind it is."""
    result = getattr(target(), name)("a")
    if inspect.isawaitable(result):
        with contextlib.suppress(StopIteration):
            result.__await__().send(None)


def test_lock_is_renewed_in_a_forked_child():
    """The thread that holds it may not exist there, and the child could not uninstall."""
    held = patching._lock
    other = threading.Thread(target=held.acquire)
    other.start()
    other.join()
    patching._renew_lock()
    assert patching._lock is not held

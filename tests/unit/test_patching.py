"""Patches that are taken back without a trace."""

from __future__ import annotations

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

from opentelemetry.instrumentation.gluellm.patching import LIMITS_MARK, PatchSet, when_imported


def make_target() -> type:
    """A class to be patched."""

    class Target:
        """What a library has."""

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


@pytest.mark.parametrize("name", ["method", "coroutine", "build"])
def test_undo_puts_the_identical_object_back(name: str) -> None:
    """Not an equal one: whoever compares or keeps references sees nothing."""
    target = make_target()
    before = dict(vars(target))
    patches = PatchSet()
    assert patches.wrap(target, name, counting([]))
    assert vars(target)[name] is not before[name]
    patches.undo()
    assert vars(target)[name] is before[name]
    assert dict(vars(target)) == before


def test_replacement_is_called() -> None:
    """And passes everything on."""
    target = make_target()
    calls: list[str] = []
    PatchSet().wrap(target, "method", counting(calls))
    assert target().method("a", timeout=1.0) == "a 1.0"
    assert calls == ["method"]


def test_class_method_stays_one() -> None:
    """It gets its class, called on the class or on a subclass."""
    target = make_target()
    calls: list[str] = []
    patches = PatchSet()
    patches.wrap(target, "build", counting(calls))
    sub = type("Sub", (target,), {})
    assert target.build("a") == (target, "a")
    assert sub.build("b") == (sub, "b")
    assert calls == ["build", "build"]


@pytest.mark.parametrize("name", ["method", "coroutine"])
def test_replacement_looks_like_the_original(name: str) -> None:
    """respx and other mocks decide by name, docstring and signature what they replace."""
    target = make_target()
    original = vars(target)[name]
    PatchSet().wrap(target, name, counting([]))
    replacement = vars(target)[name]
    assert replacement.__name__ == original.__name__
    assert replacement.__qualname__ == original.__qualname__
    assert replacement.__doc__ == original.__doc__
    assert replacement.__module__ == original.__module__
    assert inspect.signature(replacement) == inspect.signature(original)
    assert replacement.__wrapped__ is original


@pytest.mark.skipif(sys.version_info < (3, 12), reason="a plain function can't be marked before")
def test_plain_function_that_replaces_a_coroutine_function_is_taken_for_one() -> None:
    """Frameworks ask iscoroutinefunction() whether they have to await."""
    target = make_target()
    PatchSet().wrap(target, "coroutine", counting([]))
    PatchSet().wrap(target, "method", counting([]))
    assert inspect.iscoroutinefunction(target.coroutine)
    assert not inspect.iscoroutinefunction(target.method)


def test_coroutine_function_that_replaces_one_is_one() -> None:
    """On every version of Python."""
    target = make_target()

    def make(original: Any) -> Any:
        async def replacement(*args: Any) -> Any:
            return await original(*args)

        return replacement

    PatchSet().wrap(target, "coroutine", make)
    assert inspect.iscoroutinefunction(target.coroutine)


def test_class_reached_under_two_names_is_patched_once() -> None:
    """After httpx2.alias_httpx() both libraries' names mean the same classes."""
    target = make_target()
    alias = target
    calls: list[str] = []
    first, second = PatchSet(), PatchSet()
    assert first.wrap(target, "method", counting(calls)) is True
    assert first.wrap(alias, "method", counting(calls)) is False
    assert second.wrap(alias, "method", counting(calls)) is False
    target().method("a")
    assert calls == ["method"]
    second.undo()
    target().method("a")
    assert calls == ["method", "method"]


def test_undone_patch_can_be_made_again() -> None:
    """Each time over the original, not over what was there before."""
    target = make_target()
    original = vars(target)["method"]
    calls: list[str] = []
    patches = PatchSet()
    for _ in range(3):
        assert patches.wrap(target, "method", counting(calls))
        target().method("a")
        patches.undo()
    assert calls == ["method"] * 3
    assert vars(target)["method"] is original


def wrap_foreign(target: Any) -> Any:
    """Somebody else's wrapper around whatever is there now."""
    inner = vars(target)["method"]

    @functools.wraps(inner)
    def foreign(*args: Any, **kwargs: Any) -> str:
        return "foreign " + inner(*args, **kwargs)

    target.method = foreign
    return foreign


def test_wrapper_of_somebody_else_on_top_stays() -> None:
    """Ours can't be taken out from below it: it stays in the chain, and theirs stays in place."""
    target = make_target()
    patches = PatchSet()
    patches.wrap(target, "method", counting([]))
    foreign = wrap_foreign(target)
    patches.undo()
    assert vars(target)["method"] is foreign
    assert target().method("a") == "foreign a None"


def test_patch_below_somebody_elses_wrapper_is_not_doubled() -> None:
    """While ours is live below theirs, patching again would count each call twice."""
    target = make_target()
    calls: list[str] = []
    patches = PatchSet()
    patches.wrap(target, "method", counting(calls))
    wrap_foreign(target)
    assert patches.wrap(target, "method", counting(calls)) is False
    target().method("a")
    assert calls == ["method"]


def test_undone_patch_below_somebody_elses_wrapper_is_made_anew() -> None:
    """The old one is dead, so a new one goes on top."""
    target = make_target()
    patches = PatchSet()
    patches.wrap(target, "method", counting([]))
    foreign = wrap_foreign(target)
    patches.undo()
    calls: list[str] = []
    assert patches.wrap(target, "method", counting(calls)) is True
    assert target().method("a") == "foreign a None"
    assert calls == ["method"]
    patches.undo()
    assert vars(target)["method"] is foreign


def test_inherited_method_is_patched_where_it_was_asked_for() -> None:
    """The base class is left alone, and undoing leaves the subclass without one of its own."""
    target = make_target()
    sub = type("Sub", (target,), {})
    calls: list[str] = []
    patches = PatchSet()
    patches.wrap(sub, "method", counting(calls))
    target().method("a")
    assert calls == []
    sub().method("a")
    assert calls == ["method"]
    patches.undo()
    assert "method" not in vars(sub)


def test_subclass_and_base_are_patched_each() -> None:
    """The base's patch is not taken for the subclass's own."""
    target = make_target()
    sub = type("Sub", (target,), {"method": lambda self, url: url})
    patches = PatchSet()
    assert patches.wrap(target, "method", counting([]))
    assert patches.wrap(sub, "method", counting([]))


def test_missing_attribute_raises() -> None:
    """A seam that is gone is the caller's to handle."""
    with pytest.raises(AttributeError):
        PatchSet().wrap(make_target(), "missing", counting([]))


def test_patched_class_goes_with_its_last_user() -> None:
    """A class that was made for one call must not live as long as the instrumentation."""
    target = make_target()
    patches = PatchSet()
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
        """The module is there."""
        self.modules.append(module)

    def fails(self, module: ModuleType) -> None:
        """The module is there, and we can't stand it."""
        raise RuntimeError(module.__name__)


@pytest.fixture
def module(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module that can be imported and wasn't yet."""
    name = f"gluellm_late_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text("VALUE = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def test_callback_hears_of_a_module_that_is_imported_later(module: str) -> None:
    """Libraries are often imported at the first call."""
    listener = Listener()
    when_imported(module, listener.heard)
    assert listener.modules == []
    found = __import__(module)
    assert listener.modules == [found]
    when_imported(module, listener.heard)
    assert listener.modules == [found, found]


def test_failure_of_the_callback_stays_out_of_the_import(
    module: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A host's import statement must not raise for our sake."""
    listener = Listener()
    when_imported(module, listener.fails)
    assert __import__(module).VALUE == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_log_that_raises_stays_out_of_the_import(module: str) -> None:
    """Telling of a failure is no reason for another one."""
    logger = logging.getLogger("opentelemetry.instrumentation.gluellm")
    told = []

    def broken(record: logging.LogRecord) -> bool:
        told.append(record)
        raise RuntimeError

    logger.addFilter(broken)
    try:
        listener = Listener()
        when_imported(module, listener.fails)
        assert __import__(module).VALUE == 1
    finally:
        logger.removeFilter(broken)
    assert len(told) == 1


def test_import_hook_keeps_nothing_alive(module: str) -> None:
    """Hooks can't be taken back, so they hold weakly."""
    listener = Listener()
    when_imported(module, listener.heard)
    reference = weakref.ref(listener)
    del listener
    gc.collect()
    assert reference() is None
    assert __import__(module).VALUE == 1


@pytest.mark.parametrize("name", ["method", "coroutine", "build"])
@pytest.mark.parametrize("first_undone", [0, 1])
def test_sets_of_two_purposes_come_and_go_in_any_order(name: str, first_undone: int) -> None:
    """Each is called while it is on, once, and the identical object is back when both are gone."""
    target = make_target()
    before = dict(vars(target))
    calls: tuple[list[str], list[str]] = ([], [])
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
def test_inherited_function_of_two_purposes_is_inherited_again(first_undone: int) -> None:
    """The class had none of its own, and has none again."""

    class Child(make_target()):  # type: ignore[misc]
        pass

    sets = (PatchSet(), PatchSet(LIMITS_MARK))
    for patches in sets:
        assert patches.wrap(Child, "method", counting([]))
    sets[first_undone].undo()
    sets[1 - first_undone].undo()
    assert "method" not in vars(Child)


def test_sets_of_two_purposes_come_and_go_in_two_threads() -> None:
    """As ``uninstrument()`` and ``reset_pools()`` do: neither trips over the other."""
    first, second = PatchSet(), PatchSet(LIMITS_MARK)
    threads: list[threading.Thread] = []

    def come_and_go() -> None:
        second.wrap(Derived, "method", counting([]))
        second.undo()

    class WhileDeleting(type):
        """Has the second set come and go at the moment when the first one goes."""

        def __delattr__(cls, name: str) -> None:
            if not threads:
                threads.append(threading.Thread(target=come_and_go))
                threads[0].start()
                threads[0].join(timeout=0.2)  # it waits for its turn
            super().__delattr__(name)

    class Base(metaclass=WhileDeleting):
        def method(self) -> str:
            return "original"

    class Derived(Base):
        def other(self) -> str:
            return "original"

    before = Derived.other
    first.wrap(Derived, "other", counting([]))
    first.wrap(Derived, "method", counting([]))
    first.undo()
    threads[0].join()
    assert "method" not in vars(Derived)
    assert Derived().method() == "original"
    assert Derived.other is before
    assert first.wrap(Derived, "other", counting([]))  # it is not taken for patched
    first.undo()


def test_a_set_that_comes_back_over_another_leaves_nothing_behind() -> None:
    """On and off again and again beneath the other purpose, and in the end the original is back."""
    target = make_target()
    original = vars(target)["method"]
    other = PatchSet(LIMITS_MARK)
    patches = PatchSet()
    patches.wrap(target, "method", counting([]))
    other.wrap(target, "method", counting([]))
    under = vars(target)["method"]
    for _ in range(3):
        patches.undo()
        assert vars(target)["method"] is under
        assert patches.wrap(target, "method", counting([]))
    patches.undo()
    other.undo()
    assert vars(target)["method"] is original


def test_a_foreign_wrapper_between_two_purposes_stays() -> None:
    """It isn't ours to take out, and what it wraps goes on being called."""
    target = make_target()
    patches, other = PatchSet(), PatchSet(LIMITS_MARK)
    patches.wrap(target, "method", counting([]))
    ours = vars(target)["method"]

    @functools.wraps(ours)
    def foreign(*args: Any, **kwargs: Any) -> Any:
        return ours(*args, **kwargs)

    target.method = foreign  # type: ignore[attr-defined]
    other.wrap(target, "method", counting([]))
    patches.undo()
    other.undo()
    assert vars(target)["method"] is foreign


def run(target: Any, name: str) -> None:
    """Call a function of a target, whatever kind it is."""
    result = getattr(target(), name)("a")
    if inspect.isawaitable(result):
        with contextlib.suppress(StopIteration):
            result.__await__().send(None)

"""Our threads in an interpreter that lets us have none."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from opentelemetry.instrumentation.gluellm.pool.threads import thread_beside
from opentelemetry.instrumentation.gluellm.pool.watch import Watch
from unit.pool.fakes import Scene


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both of Python's modules say that this is not the main interpreter."""
    module = ModuleType("_interpreters")
    vars(module).update(get_current=lambda: 1, get_main=lambda: 0)
    monkeypatch.setitem(sys.modules, "_interpreters", module)
    monkeypatch.setitem(sys.modules, "_xxsubinterpreters", module)


@pytest.mark.usefixtures("elsewhere")
def test_sub_interpreter_gets_none() -> None:
    """Whether it has daemons or not: one that is left as it ends aborts the process."""
    with pytest.raises(RuntimeError):
        thread_beside(lambda: None, name="any")


@pytest.mark.parametrize("functions", [None, {"get_current": lambda _: 1, "get_main": None}])
def test_python_that_knows_no_interpreters_gets_one(
    monkeypatch: pytest.MonkeyPatch, functions: dict[str, object] | None
) -> None:
    """There is the main one alone; or what these private modules have is of another make."""
    module = None if functions is None else ModuleType("_interpreters")
    vars(module).update(functions or {}) if module else None
    monkeypatch.setitem(sys.modules, "_interpreters", module)
    monkeypatch.setitem(sys.modules, "_xxsubinterpreters", module)
    assert thread_beside(lambda: None, name="any").daemon


@pytest.mark.usefixtures("elsewhere")
def test_watch_without_a_thread_counts_that_once_and_loses_no_request(scene: Scene) -> None:
    """Neither the request that would have started it nor the next one."""
    watch = Watch(scene.registry, leak_threshold=60, loop_lag=None)
    watch.start()
    for _ in range(3):
        scene.enter()
    assert len(scene.tracker.leases) == 3
    assert scene.registry.failures.counts == {"watch.start": 1}
    watch.stop()

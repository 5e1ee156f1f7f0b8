"""Which processes are kept when there are too many, and for how long."""

import pytest

from gluellm_pools.watch.limits import (
    GONE_SECONDS,
    PROCESSES,
    REPLACED_SECONDS,
    UNKNOWN_INTERVAL,
)
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.otlp import metrics_request, number

from .watched import Watched


@pytest.fixture
def watched() -> Watched:
    return Watched()


def export_other(watched: Watched, name: str) -> None:
    """A process exports metrics of another scope."""
    request = metrics_request(
        number("jvm.memory", 1), scope="io.somebody", service__instance__id=name
    )
    watched.take(request)


def names(watched: Watched) -> set[str]:
    return {instance for _, instance in watched.intake.processes}


def export_own(watched: Watched, name: str) -> int:
    """A process exports pool metrics; how many points were rejected."""
    metric = number(semconv.REQUESTS, 5)
    return len(watched.take(metrics_request(metric, service__instance__id=name)))


def test_process_with_pool_metrics_replaces_processes_without(watched):
    """Of many services on the endpoint, the one that is silent for longest is replaced."""
    for n in range(PROCESSES):
        export_other(watched, f"foreign-{n}")
        watched.now += 0.1
    assert export_own(watched, "own") == 0
    assert "own" in names(watched)
    assert "foreign-0" not in names(watched)
    assert len(watched.intake.processes) == PROCESSES


def test_process_without_pool_metrics_is_replaced_before_a_silent_one_with_them(watched):
    """This holds even if it has just exported."""
    export_own(watched, "own")
    watched.now += REPLACED_SECONDS + 1
    for n in range(PROCESSES - 1):
        export_other(watched, f"foreign-{n}")
    export_own(watched, "another")
    assert {"own", "another"} <= names(watched)


def test_a_process_without_pool_metrics_replaces_none(watched):
    """It has to wait until one is gone."""
    for n in range(PROCESSES):
        export_own(watched, f"own-{n}")
    before = names(watched)
    watched.now += REPLACED_SECONDS + 1
    export_other(watched, "foreign")
    assert names(watched) == before
    watched.now += 5 * UNKNOWN_INTERVAL
    watched.intake.processes.forget_gone()
    export_other(watched, "foreign")
    assert names(watched) == {"foreign"}


def test_a_process_that_exported_once_is_silent_before_it_is_gone(watched):
    """It is shown as silent before it vanishes."""
    watched.export("openai")
    watched.now += GONE_SECONDS + 60
    watched.intake.processes.forget_gone()
    assert watched.process.silent
    watched.now += 5 * UNKNOWN_INTERVAL
    watched.intake.processes.forget_gone()
    assert len(watched.intake.processes) == 0

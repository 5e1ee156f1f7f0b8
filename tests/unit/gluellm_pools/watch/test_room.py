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


def names(watched: Watched) -> set[str]:
    return {instance for _, instance in watched.intake.processes}


def export_own(watched: Watched, name: str) -> int:
    """A process exports pool metrics; how many points were rejected."""
    metric = number(semconv.REQUESTS, 5)
    return len(watched.take(metrics_request(metric, service__instance__id=name)))


def test_new_process_replaces_the_one_that_is_silent_for_longest(watched):
    """As after many restarts under names of their own. If all export, the new one is rejected."""
    for n in range(PROCESSES):
        export_own(watched, f"old-{n}")
        watched.now += 0.1
    assert export_own(watched, "new") == 1
    watched.now += REPLACED_SECONDS
    assert export_own(watched, "new") == 0
    assert names(watched) == {"new", *(f"old-{n}" for n in range(1, PROCESSES))}


def test_a_process_that_exported_once_is_silent_before_it_is_gone(watched):
    """It is shown as silent before it vanishes."""
    watched.export("openai")
    watched.now += GONE_SECONDS + 60
    watched.intake.processes.forget_gone()
    assert watched.process.silent
    watched.now += 5 * UNKNOWN_INTERVAL
    watched.intake.processes.forget_gone()
    assert len(watched.intake.processes) == 0

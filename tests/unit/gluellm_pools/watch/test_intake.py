"""What is kept of a request: this package's telemetry is shown, the rest is counted."""

import pytest

from gluellm_pools.watch.intake import Intake
from gluellm_pools.watch.limits import LOG_LINES, SCOPES
from gluellm_pools.watch.processes import Processes
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.otlp import logs_request, metrics_request, number, traces_request


@pytest.fixture
def taken() -> Intake:
    return Intake(Processes())


def test_only_the_scope_name_is_kept_of_other_metrics(taken):
    """A user who forgot to instrument can then see what arrived."""
    for n in range(SCOPES + 5):
        request = metrics_request(number("requests", 1), scope=f"other.{n}\x1b[31m")
        assert taken.take(request).number == 0
    (process,) = taken.processes
    assert len(process) == 0
    assert process.exports == 0
    assert len(process.scopes) == SCOPES
    assert next(iter(process.scopes)) == "other.0?[31m"


def test_invalid_points_are_rejected_one_by_one(taken):
    """The others are taken. Nothing is wrong with metrics that the view lacks."""
    assert taken.take(metrics_request(number(semconv.REQUEUES, 1))).number == 0
    (process,) = taken.processes
    assert (len(process), process.exports) == (0, 1)
    values = (float("nan"), 5, float("inf"))
    rejected = taken.take(metrics_request(*(number(semconv.REQUESTS, v) for v in values)))
    assert rejected.number == 2
    assert rejected.reason.startswith(semconv.REQUESTS.name)
    assert len(process) == 1


def test_logs_of_the_package_are_bounded_and_the_others_counted(taken):
    """One printable line each, warnings and infos. Default exporters send spans here too."""
    taken.take(logs_request("leak\x1b[2J at\napp.py", 13))
    taken.take(logs_request("released", 9))
    taken.take(logs_request("detail", 5))
    taken.take(logs_request("foreign", 17, scope="root"))
    assert list(taken.logs) == ["WARNING from shop: leak?[2J at?app.py", "INFO from shop: released"]
    assert taken.foreign_records == 1
    for n in range(LOG_LINES + 10):
        taken.take(logs_request(f"{n} " + "x" * 100_000))
    assert len(taken.logs) == LOG_LINES
    assert max(map(len, taken.logs)) < 2100
    assert taken.logs[-1].startswith(f"WARNING from shop: {LOG_LINES + 9} ")
    assert taken.take(traces_request()).number == 0
    assert taken.spans == 1

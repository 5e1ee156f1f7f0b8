"""SDKs that block: executors without free threads, and pools that threads bound."""

from typing import Any

import pytest

from gluellm_diagnosis.diagnose import diagnose
from gluellm_diagnosis.findings import Kind, Severity
from opentelemetry.instrumentation.gluellm.snapshots.parts import ExecutorSnapshot, PoolSnapshot
from opentelemetry.instrumentation.gluellm.snapshots.snapshot import Snapshot

from .building import a_pool, a_request, a_snapshot, all_kinds, found, the_calls, the_totals

BEDROCK = {"name": "bedrock", "provider": "bedrock", "library": "urllib3"}


def a_blocking_pool(requests: int = 0, **changes: object) -> PoolSnapshot:
    """A pool of boto3 with its defaults."""
    return a_pool(
        [a_request("awaiting_response") for _ in range(requests)],
        **{
            **BEDROCK,
            "max_connections": None,
            "max_idle_connections": 10,
            "keepalive_expiry": None,
            "pool_timeout": None,
            "threads": 6,
            **changes,
        },
    )


def threaded(requests: int, waiting: int, threads: int = 6, **process: Any) -> Snapshot:
    """Requests in an executor's threads, and calls that wait for a thread."""
    executor = ExecutorSnapshot(
        threads=threads, waiting=waiting, requests=requests, pools=("bedrock/urllib3",)
    )
    return a_snapshot(
        the_totals(**BEDROCK), a_blocking_pool(requests), executors=(executor,), **process
    )


def test_full_executor_is_reported_with_a_size():
    """The finding names the waiting calls and the needed threads and connections."""
    finding = found(Kind.EXECUTOR_FULL, threaded(6, 34))
    assert (finding.severity, finding.pool) == (Severity.WARNING, "bedrock/urllib3")
    assert finding.observed == (
        "6 requests in flight in the 6 threads of an executor, and 34 calls waiting for a thread."
    )
    assert "ThreadPoolExecutor(40)" in finding.advice
    assert "botocore.config.Config(max_pool_connections=40)" in finding.advice
    text = " ".join(str(threaded(2, 3)).split())  # snapshots have it in any case
    assert "2 of an executor's 6 threads are in a request, 3 calls waiting for a thread" in text


@pytest.mark.parametrize(
    ("requests", "waiting", "severity"),
    [
        (6, 0, None),
        (6, 1, Severity.INFO),
        (6, 5, Severity.INFO),
        (6, 6, Severity.WARNING),
        (5, 6, Severity.WARNING),
        (4, 6, None),
        (0, 6, None),
    ],
)
def test_executor_by_requests_and_waiting_calls(requests, waiting, severity):
    """The limits are four of five threads, and as many waiting calls as threads."""
    findings = [f for f in diagnose(threaded(requests, waiting)) if f.kind is Kind.EXECUTOR_FULL]
    assert [finding.severity for finding in findings] == ([severity] if severity else [])


@pytest.mark.parametrize(
    ("preparing", "oldest", "severity"),
    [(7, 10.0, Severity.WARNING), (7, 9.9, None), (1, 10.0, None)],
)
def test_other_work_in_the_threads_is_found_if_most_calls_wait(preparing, oldest, severity):
    """One request is in the 6 threads: work that no pool shows has the others."""
    calls = the_calls(
        now={"preparing": preparing, "requesting": 1}, oldest={"preparing": oldest, "requesting": 1}
    )
    findings = diagnose(threaded(1, 9, calls=(calls,)))
    its = [finding for finding in findings if finding.kind is Kind.EXECUTOR_FULL]
    assert [finding.severity for finding in its] == ([severity] if severity else [])
    for finding in its:
        assert finding.explanation.startswith("Other work has the other threads.")
        assert finding.advice.startswith("Give that work an executor of its own.")


def test_two_executors_are_two_findings():
    """any-llm's sync calls run on a loop of their own, which has an executor of its own."""
    executors = tuple(
        ExecutorSnapshot(threads=6, waiting=9, requests=6, pools=(f"{name}/urllib3",))
        for name in ("bedrock", "sagemaker")
    )
    taken = a_snapshot(the_totals(**BEDROCK), executors=executors)
    labels = [f.pool for f in diagnose(taken) if f.kind is Kind.EXECUTOR_FULL]
    assert labels == ["bedrock/urllib3", "sagemaker/urllib3"]


def test_pool_that_threads_bound_is_not_unbounded():
    """A pool whose threads are unknown is unbounded."""
    assert all_kinds(threaded(6, 0)) == []
    alone = a_snapshot(the_totals(**BEDROCK), a_blocking_pool(threads=None))
    assert all_kinds(alone) == [Kind.UNBOUNDED_POOL]

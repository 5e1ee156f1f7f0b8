"""A program's metrics arrive in every store under the documented names, and so do its spans.

The program exports over gRPC.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from gluellm_pools.prometheus import Way
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.semconv import Metric
from studies.arrival.run import JOB, PULLED_JOB, RESOURCE, Process, Run, run
from studies.arrival.spans import arrived, attributes, by_id
from support.waiting import wait_until

# The program also calls xai.
pytestmark = [pytest.mark.all_sdks, pytest.mark.timeout(300)]

PROTOCOL = "grpc"
# Records are dropped only if requests cannot empty the buffer, as in a signal handler. No call of
# the program is silent for a minute.
ALWAYS_ZERO = {
    semconv.INSTRUMENTATION_DROPPED.name,
    semconv.HOOK_MISSING.name,
    semconv.CALL_SILENT.name,
}
# The providers are IP addresses, so no name is resolved (contract/test_setup_steps.py has names).
# The program is not judged (integration/leaks/test_findings.py has findings).
NEVER = {
    semconv.DNS_LOOKUP_DURATION.name,
    semconv.FINDING_CURRENT.name,
    semconv.FINDING_JUDGED.name,
}


@pytest.fixture(scope="module")
def arrival(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """The ended program, and the running stores."""
    with run(tmp_path_factory.mktemp("arrival"), PROTOCOL) as finished:
        yield finished


@pytest.fixture
def program(arrival: Run) -> Process:
    """What the program counted and exported."""
    return arrival.program


@pytest.mark.parametrize("way", Way)
def test_every_metric_is_stored_as_it_was_counted(arrival: Run, way: Way) -> None:
    """Each series has the documented name and labels, and exactly the exported value."""
    for compared in (moment[way] for moment in arrival.moments):
        assert compared.wrong == []
        assert {metric.name for metric in semconv.METRICS} - compared.agreed == NEVER


def test_every_metric_was_more_than_zero(program: Process) -> None:
    moved = {
        name
        for export in program.exports
        for name, point in _points(export)
        if point.get("value", point.get("count"))
    }
    assert {metric.name for metric in semconv.METRICS} - moved == ALWAYS_ZERO | NEVER


def test_counts_are_those_of_the_providers_and_the_callers(program: Process) -> None:
    """Providers count statuses and connections; callers count timeouts and streams."""
    last = program.exports[-1]
    counted = _by(last, semconv.REQUESTS, semconv.SERVER_PORT, semconv.STATUS_CODE)
    assert {key: count for key, count in counted.items() if key[1] is not None} == {
        (port, status): count
        for port, counts in program.providers.items()
        for status, count in counts.by_status.items()
    }
    # Refused connections, and those without a completed TLS handshake, do not count as opened.
    opened = _by(last, semconv.CONNECTION_OPENED, semconv.POOL_NAME)
    assert sum(opened.values()) == sum(counts.connections for counts in program.providers.values())
    caught: Counter[str] = Counter()
    for ended, count in program.counted["ended"].items():
        outcome = ended.partition("|")[2]
        if outcome.endswith("Timeout"):
            caught[outcome.removesuffix("Timeout").lower()] += count
    assert _by(last, semconv.TIMEOUTS, semconv.TIMEOUT_KIND) == caught
    assert set(caught) == {"pool", "connect", "read"}
    leases = _by(last, semconv.LEASE_DURATION, semconv.POOL_NAME, semconv.RESPONSE_STREAMING)
    streamed = {pool: count for (pool, streaming), count in leases.items() if streaming is True}
    assert streamed == program.counted["streams"]


def test_a_program_has_the_same_job_and_instance_in_every_store(arrival: Run) -> None:
    """A scraped program has the labels of its target. target_info has the rest of the resource."""
    stack, query = arrival.stack, "group by (job, instance) (gluellm_pool_live)"
    pushed = {(JOB, PROTOCOL)}
    for store in (stack.prometheus_otlp, stack.victoria_metrics):
        assert _identities(store.query(query)) == pushed
    past = f'last_over_time(gluellm_pool_live{{job="{PULLED_JOB}"}}[10m])'
    found = [row for q in (query, past) for row in stack.prometheus_scraping.query(q)]
    assert _identities(found) == pushed | {(PULLED_JOB, PROTOCOL)}
    for store in (stack.prometheus_scraping, stack.prometheus_otlp):
        (row,) = store.query(f'target_info{{job="{JOB}"}}')
        assert row["metric"]["telemetry_sdk_language"] == "python"
        assert row["metric"]["service_version"] == RESOURCE["service.version"]
    assert stack.victoria_metrics.query("target_info") == []


def test_spans_arrive_whole(arrival: Run, program: Process) -> None:
    """Each span arrives once, with name, kind, times, parent, attributes, links, status, scope."""
    spans = arrival.stack.collector.spans()
    assert by_id(map(arrived, spans)) == by_id(program.spans)
    assert {span["name"].split()[0] for span in spans} == {
        "HTTP",
        "call",
        "gluellm.call",
        "socket",
        "TLS",
    }
    for span in spans:
        assert program.resource.items() <= attributes(span["resource"]).items()


@pytest.mark.parametrize("name", ["prometheus_scraping", "prometheus_otlp"])
def test_exemplars_point_to_traces_that_exist(arrival: Run, name: str) -> None:
    calls = {
        (span["traceId"], span["spanId"])
        for span in arrival.stack.collector.spans()
        if span["name"].startswith("call ")
    }
    store = getattr(arrival.stack, name)
    for histogram in ("acquire", "lease"):
        selector = f'gluellm_pool_{histogram}_duration_seconds_bucket{{job="{JOB}"}}'
        pointed = {
            (exemplar["labels"]["trace_id"], exemplar["labels"]["span_id"])
            for row in wait_until(lambda query=selector: store.exemplars(query), "exemplars")
            for exemplar in row["exemplars"]
        }
        assert pointed
        assert pointed <= calls


def _identities(rows: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(row["metric"]["job"], row["metric"]["instance"]) for row in rows}


def _points(export: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return [
        (metric["name"], point)
        for resource in export["resource_metrics"]
        for scope in resource["scope_metrics"]
        for metric in scope["metrics"]
        for point in metric["data"]["data_points"]
    ]


def _by(export: Mapping[str, Any], metric: Metric, *keys: str) -> dict[Any, float]:
    """Sum up values, or counts, by attributes, without zeros. A single key is not a tuple."""
    sums: Counter[Any] = Counter()
    for name, point in _points(export):
        if name == metric.name:
            key = tuple(point["attributes"].get(each) for each in keys)
            sums[key[0] if len(keys) == 1 else key] += point.get("value", point.get("count"))
    return {key: value for key, value in sums.items() if value}

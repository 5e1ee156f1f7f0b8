"""What programs count arrives in every store, under the documented names; so do their spans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.prometheus import Way
from opentelemetry.instrumentation.gluellm.telemetry.semconv import Metric
from support.waiting import wait_until

from ..programs import Prometheus, Store
from .process import RESOURCE
from .run import JOB, PROTOCOLS, PULLED_JOB, Run, Told
from .spans import arrived, attributes, by_id

# One run for all of them, on a machine that may be busy; xai is one of the providers that it calls.
pytestmark = [pytest.mark.all_sdks, pytest.mark.timeout(300)]

ALWAYS_ZERO = {
    semconv.INSTRUMENTATION_DROPPED: "requests empty the buffer that they fill; it drops a record "
    "only where they can't, as in a signal handler",
}
"""Metrics that arrive, but as 0 only, and why no program of this kind makes them move."""
HELD = {
    ("openai", "awaiting_response"): 1,
    ("openai", "reading"): 1,
    ("openai", "unread"): 1,
    ("tight", "unread"): 1,
    ("tight", "queued"): 1,
    ("deaf", "connecting"): 1,
    ("http2", "unread"): 4,
    ("http2", "stream_queued"): 1,
    ("left", "unread"): 1,
    ("odd", "unread"): 1,
    ("odd", "queued"): 2,
}
"""Requests by pool and phase while the programs stand still: what `acts.Held` does."""
WAIT, SETUP = "HTTP wait_for_connection ", "HTTP connection_setup "


@pytest.fixture(params=PROTOCOLS)
def told(arrival: Run, request: pytest.FixtureRequest) -> Told:
    """One of the programs."""
    return arrival.told[request.param]


@pytest.mark.parametrize("way", Way)
@pytest.mark.parametrize("metric", semconv.METRICS, ids=lambda metric: metric.name)
def test_counted_is_stored(arrival: Run, metric: Metric, way: Way) -> None:
    """Every series has the documented name and labels, and the value that the program counted."""
    for table in arrival.tables:
        cell = table[way][metric.name]
        assert cell.wrong == []
        assert cell.equal + cell.between > 0


def test_every_metric_was_more_than_zero(told: Told) -> None:
    """The runs make every metric move, but for those that are named with a reason."""
    moved = {
        name
        for export in told.exports
        for name, point in _points(export)
        if point.get("value", point.get("count"))
    }
    still = {metric.name for metric in semconv.METRICS} - moved
    assert still == {metric.name for metric in ALWAYS_ZERO}


def test_held_requests_are_in_the_phases_of_the_script(told: Told) -> None:
    """At the quiescent point the gauges tell what the program really holds, and nothing else."""
    (held, *_) = told.exports
    keys = (semconv.POOL_NAME, semconv.REQUEST_PHASE)
    assert _by(held, semconv.REQUEST_CURRENT, *keys) == HELD
    leaks = sum(count for (_, phase), count in HELD.items() if phase == "unread")
    assert sum(_by(held, semconv.LEAK_SUSPECTED, semconv.POOL_NAME).values()) == leaks
    anomalies = _by(held, semconv.ANOMALIES, semconv.ANOMALY_TYPE)
    assert anomalies == dict.fromkeys(semconv.ANOMALY_TYPES, 1)
    assert sum(_by(held, semconv.STREAM_ORPHANED, semconv.POOL_NAME).values()) == 1


def test_requests_by_status_are_what_the_providers_answered(told: Told) -> None:
    """The sum over pools, for each provider, of each status."""
    counted = _by(told.exports[-1], semconv.REQUESTS, semconv.SERVER_PORT, semconv.STATUS_CODE)
    answered = {
        (port, status): count
        for port, counts in told.providers.items()
        for status, count in counts.by_status.items()
    }
    assert {key: count for key, count in counted.items() if key[1] is not None} == answered


def test_connections_opened_are_what_the_providers_accepted(told: Told) -> None:
    """Those that were refused, or never secured, were not opened."""
    opened = _by(told.exports[-1], semconv.CONNECTION_OPENED, semconv.POOL_NAME)
    accepted = sum(counts.connections for counts in told.providers.values())
    assert sum(opened.values()) == accepted


def test_timeouts_are_what_the_callers_caught(told: Told) -> None:
    """By kind: the program's own count of what the library raised."""
    counted = _by(told.exports[-1], semconv.TIMEOUTS, semconv.TIMEOUT_KIND)
    caught: Counter[str] = Counter()
    for ended, count in told.counted["ended"].items():
        outcome = ended.partition("|")[2]
        if outcome.endswith("Timeout"):
            caught[outcome.removesuffix("Timeout").lower()] += count
    assert counted == caught
    assert set(caught) == {"pool", "connect", "read"}


def test_streams_are_what_the_callers_opened(told: Told) -> None:
    """A lease for each stream, by pool."""
    by_kind = _by(
        told.exports[-1], semconv.LEASE_DURATION, semconv.POOL_NAME, semconv.RESPONSE_STREAMING
    )
    streamed = {pool: count for (pool, streaming), count in by_kind.items() if streaming is True}
    assert streamed == told.counted["streams"]
    assert told.counted["chunks"]


def test_every_program_has_its_job_and_instance(arrival: Run) -> None:
    """The same two labels on every way that exports; a scraped program is called by its target."""
    query = "group by (job, instance) (gluellm_pool_live)"
    pushed = {(JOB, told.process.instance) for told in arrival.told.values()}
    stack = arrival.stack
    for store in (stack.prometheus_otlp, stack.victoria_metrics):
        assert _identities(store.query(query)) == pushed
    pulled = {(PULLED_JOB, instance) for _, instance in pushed}
    past = f'last_over_time(gluellm_pool_live{{job="{PULLED_JOB}"}}[10m])'
    scraping = stack.prometheus_scraping
    found = _identities(scraping.query(query)) | _identities(scraping.query(past))
    assert found == pushed | pulled


@pytest.mark.parametrize("name", ["prometheus_scraping", "prometheus_otlp"])
def test_target_info_has_the_rest_of_the_resource(arrival: Run, name: str) -> None:
    """What is no label of every series can be joined from there. VictoriaMetrics has none."""
    store: Store = getattr(arrival.stack, name)
    rows = store.query(f'target_info{{job="{JOB}"}}')
    assert len(rows) == len(PROTOCOLS)
    for row in rows:
        assert row["metric"]["telemetry_sdk_language"] == "python"
        assert row["metric"]["service_version"] == RESOURCE["service.version"]
    assert arrival.stack.victoria_metrics.query("target_info") == []


def test_spans_arrive_whole(arrival: Run, told: Told) -> None:
    """Each exported span once: its name, kind, times, parent, attributes, links, status, scope."""
    of_resource = [
        span
        for span in arrival.stack.collector.spans()
        if attributes(span["resource"])["service.instance.id"] == told.process.instance
    ]
    assert by_id(map(arrived, of_resource)) == by_id(told.spans)
    for span in of_resource:
        assert told.process.resource.items() <= attributes(span["resource"]).items()


def test_spans_of_waits_point_to_the_call_and_to_the_holder(told: Told) -> None:
    """The parent is the call that waited, the link leads to the one that held the connection."""
    spans = by_id(told.spans)
    waits = _named(told, WAIT, lambda span: span["attributes"][semconv.POOL_NAME] == "tight")
    endings = {span["attributes"].get(semconv.ERROR_TYPE): span for span in waits}
    assert endings.keys() == {None, "pool_timeout", "cancelled"}
    for error, span in endings.items():
        assert span["kind"] == "INTERNAL"
        assert span["status"] == ("ERROR" if error == "pool_timeout" else "UNSET")
        assert spans[span["parent"]]["name"] == "call quick"
        ((trace, holder),) = span["links"]
        assert spans[holder]["name"] == "call stall"
        assert spans[holder]["trace"] == trace != span["trace"]
        assert span["attributes"][semconv.SPAN_CONNECTION_MAX] == 1
        assert span["attributes"][semconv.SPAN_CONNECTION_ACTIVE] == 1
        assert span["attributes"][semconv.SPAN_OLDEST_LEASE_PHASE] in semconv.PHASES


def test_spans_of_set_ups_hold_their_steps(told: Told) -> None:
    """Connect refused, handshake timed out, handshake cancelled: below the call that wanted it."""
    spans = by_id(told.spans)
    found = {}
    for setup in _named(told, SETUP):
        assert spans[setup["parent"]]["name"].startswith("call ")
        steps = [span for span in told.spans if span["parent"] == setup["span"]]
        error = setup["attributes"].get(semconv.ERROR_TYPE)
        if error is not None:
            found[error] = [(step["name"].split()[0], step["status"]) for step in steps]
            assert setup["status"] == ("UNSET" if error == "cancelled" else "ERROR")
    assert found == {
        "connection_error": [("socket", "ERROR")],
        "connect_timeout": [("socket", "UNSET"), ("TLS", "ERROR")],
        "cancelled": [("socket", "UNSET"), ("TLS", "UNSET")],
    }


def test_spans_of_calls_tell_of_their_connection(told: Told) -> None:
    """The program's own CLIENT spans: was the connection reused, and how long did it take?"""
    keys = {semconv.CONNECTION_REUSED, semconv.SPAN_ACQUIRE_DURATION}
    answered = [span for span in _named(told, "call ") if keys <= span["attributes"].keys()]
    assert {span["attributes"][semconv.CONNECTION_REUSED] for span in answered} == {True, False}


@pytest.mark.parametrize("name", ["prometheus_scraping", "prometheus_otlp"])
@pytest.mark.parametrize(
    "histogram", ["gluellm_pool_acquire_duration_seconds", "gluellm_pool_lease_duration_seconds"]
)
def test_exemplars_point_to_traces_that_exist(arrival: Run, name: str, histogram: str) -> None:
    """Their trace and span are those of a call, and lie in the Collector's file."""
    store: Prometheus = getattr(arrival.stack, name)
    calls = {
        (span["traceId"], span["spanId"])
        for span in arrival.stack.collector.spans()
        if span["name"].startswith("call ")
    }
    selector = f'{histogram}_bucket{{job="{JOB}"}}'
    rows = wait_until(lambda: store.exemplars(selector), "exemplars")
    pointed = {
        (exemplar["labels"]["trace_id"], exemplar["labels"]["span_id"])
        for row in rows
        for exemplar in row["exemplars"]
    }
    assert pointed <= calls
    instances = {row["seriesLabels"]["instance"] for row in rows}
    assert instances == {told.process.instance for told in arrival.told.values()}


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
    """Values, or counts, by attributes; what is 0 is left out. With one key by its values."""
    sums: Counter[Any] = Counter()
    for name, point in _points(export):
        if name == metric.name:
            key = tuple(point["attributes"].get(each) for each in keys)
            sums[key[0] if len(keys) == 1 else key] += point.get("value", point.get("count"))
    return {key: value for key, value in sums.items() if value}


def _named(
    told: Told, beginning: str, chosen: Callable[[dict[str, Any]], bool] = bool
) -> list[dict[str, Any]]:
    return [span for span in told.spans if span["name"].startswith(beginning) and chosen(span)]

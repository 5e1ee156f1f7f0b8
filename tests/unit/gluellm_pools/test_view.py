"""The view of exported metrics: what each number is read from, and what is left out."""

import pytest
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation
from opentelemetry.sdk.metrics.view import View as SdkView

from gluellm_pools.render import health_lines
from gluellm_pools.view import CallKey, CallsView, PoolKey, PoolView, View, logged_evidence, read
from opentelemetry.instrumentation.gluellm.telemetry import semconv

POOL = {
    semconv.PROVIDER_NAME: "openai",
    semconv.POOL_NAME: "openai",
    semconv.POOL_LIBRARY: "httpx2",
}
KEY = PoolKey("openai", "httpx2")


class Source:
    """A meter of the package's scope whose numbers a test sets."""

    def __init__(self, scope: str = semconv.SCOPE_NAME, **options) -> None:
        self.reader = InMemoryMetricReader()
        self.meter = MeterProvider([self.reader], shutdown_on_exit=False, **options).get_meter(
            scope
        )
        self.observations = {}
        self.histograms = {}

    def set(self, metric: semconv.Metric, value: float, **attributes: object) -> None:
        """The metric's value for POOL and these attributes."""
        self.set_raw(metric, value, {**POOL, **attributes})

    def set_raw(self, metric: semconv.Metric, value: float, attributes: dict) -> None:
        if metric.name not in self.observations:
            self.observations[metric.name] = observations = {}
            create = getattr(self.meter, f"create_{metric.instrument.name.lower()}")
            create(metric.name, [lambda _: list(observations.values())], metric.unit)
        key = tuple(sorted(attributes.items()))
        self.observations[metric.name][key] = Observation(value, attributes)

    def record(self, metric: semconv.Metric, value: float, **attributes: object) -> None:
        histogram = self.histograms.get(metric.name)
        if histogram is None:
            histogram = self.histograms[metric.name] = self.meter.create_histogram(
                metric.name, metric.unit, explicit_bucket_boundaries_advisory=metric.buckets
            )
        histogram.record(value, {**POOL, **attributes})

    def read(self) -> View:
        return read(self.reader.get_metrics_data())


def test_foreign_metrics_and_points_without_a_pool_are_no_rows():
    """This holds for no metrics, another scope, and points whose attributes views dropped."""
    assert read(None) == Source().read() == View()
    other = Source(scope="some.other.library")
    other.set(semconv.OPEN_CONNECTIONS, 3, **{semconv.CONNECTION_STATE: "active"})
    assert other.read() == View()
    source = Source()
    source.set_raw(semconv.POOL_LIVE, 1, {"else": 1})
    assert source.read().pools == {}


def test_state_is_summed_over_origins_and_protocols():
    """A row holds all origins of a pool name."""
    source = Source()
    for port, number in ((1, 2), (2, 3)):
        for state, more in (("active", 0), ("idle", 1)):
            attributes = {semconv.SERVER_PORT: port, semconv.CONNECTION_STATE: state}
            source.set(semconv.OPEN_CONNECTIONS, number + more, **attributes)
    source.set(semconv.CONNECTION_CONNECTING, 1)
    source.set(semconv.CONNECTION_MAX, 10)
    source.set(semconv.POOL_LIVE, 2)
    pool = source.read().pools[KEY]
    assert (pool.active, pool.idle, pool.connecting, pool.maximum, pool.live) == (5, 7, 1, 10, 2)
    assert pool.providers == {"openai"}


def test_requests_are_counted_with_their_failures():
    """Errors and statuses of 400 and above are failures. A repetition is a request as well."""
    source = Source()
    source.set(semconv.REQUESTS, 10, **{semconv.STATUS_CODE: 200})
    source.set(semconv.REQUESTS, 2, **{semconv.STATUS_CODE: 429})
    resent = {semconv.STATUS_CODE: 429, semconv.REQUEST_RESEND: True}
    source.set(semconv.REQUESTS, 1, **resent)
    source.set(semconv.REQUESTS, 2, **{semconv.ERROR_TYPE: "pool_timeout"})
    source.set(semconv.REQUESTS, 4, **{semconv.ERROR_TYPE: "connection_error"})
    source.set(
        semconv.REQUESTS, 1, **{semconv.ERROR_TYPE: "read_timeout", semconv.STATUS_CODE: 200}
    )
    pool = source.read().pools[KEY]
    assert (pool.requests, pool.failed, pool.resent) == (20, 10, 1)
    errors = {"pool_timeout": 2, "connection_error": 4, "read_timeout": 1, "429": 3}
    assert pool.errors == errors


def test_calls_are_rows_by_provider_and_source():
    """State, counters, and both silences. Calls of an unknown provider have a row as well."""
    source = Source()

    def calls(metric, value, by=None, key=None, **level):
        attributes = {semconv.CALL_SOURCE: "any_llm", **level}
        source.set_raw(metric, value, {**attributes, **({by: key} if by else {})})

    openai = {semconv.PROVIDER_NAME: "openai"}
    calls(semconv.CALL_CURRENT, 9)
    calls(semconv.CALL_RETRIES, 4, **openai)
    before = source.read()
    for stage, number, time in (("requesting", 2, 30.0), ("backoff", 12, 90.0)):
        calls(semconv.CALL_CURRENT, number, semconv.CALL_STAGE, stage, **openai)
        calls(semconv.CALL_OLDEST_AGE, time / 10, semconv.CALL_STAGE, stage, **openai)
        calls(semconv.CALL_TIME, time, semconv.CALL_STAGE, stage, **openai)
    for operation, number in (("completion", 5), ("responses", 2)):
        operations = {semconv.OPERATION_NAME: operation}
        calls(semconv.CALLS, number, semconv.CALL_OUTCOME, "failed", **openai, **operations)
    calls(semconv.CALL_ERRORS, 7, semconv.ERROR_TYPE, "429", **openai)
    calls(semconv.CALL_SILENT, 1, **openai)
    calls(semconv.CALL_SILENCE, 75.0, **openai)
    calls(semconv.CALL_RETRIES, 10, **openai)
    view = source.read().since(before)
    assert list(view.calls) == [CallKey("openai", "any_llm"), CallKey("unknown", "any_llm")]
    found = view.calls[CallKey("openai", "any_llm")]
    assert found == CallsView(
        by_stage={"requesting": 2, "backoff": 12},
        oldest={"requesting": 3.0, "backoff": 9.0},
        silent=1,
        silence=75.0,
        seconds_by_stage={"requesting": 30.0, "backoff": 90.0},
        outcomes={"failed": 7},
        errors={"429": 7},
        retries=6,
    )
    assert (found.in_flight, found.share("backoff")) == (14, 0.75)
    assert list(view.busy().calls) == list(view.calls)
    view.calls[CallKey("unknown", "any_llm")].by_stage.clear()
    assert list(view.busy().calls) == [CallKey("openai", "any_llm")]


def test_phases_now_and_shares_of_time():
    """Shares are of the time of all phases together."""
    source = Source()
    for phase, number, time in (("queued", 3, 6.0), ("reading", 1, 2.0)):
        source.set(semconv.REQUEST_CURRENT, number, **{semconv.REQUEST_PHASE: phase})
        source.set(semconv.REQUEST_TIME, time, **{semconv.REQUEST_PHASE: phase})
        source.set(semconv.REQUEST_OLDEST_AGE, time / 2, **{semconv.REQUEST_PHASE: phase})
    for provider in ("a", "z"):  # by name before and after the one with the oldest
        younger = {semconv.PROVIDER_NAME: provider, semconv.REQUEST_PHASE: "queued"}
        source.set(semconv.REQUEST_OLDEST_AGE, 1.0, **younger)
    pool = source.read().pools[KEY]
    assert pool.by_phase == {"queued": 3, "reading": 1}
    assert pool.share("queued") == 0.75
    assert pool.share("queued", "reading") == 1.0
    assert pool.oldest_waiter == 3.0
    assert PoolView().share("queued") == 0.0


def test_reused_is_what_was_acquired_without_a_set_up():
    """Failed acquires and failed set-ups do not count as reuse."""
    source = Source()
    for _ in range(5):
        source.record(semconv.ACQUIRE_DURATION, 0)
    source.record(semconv.ACQUIRE_DURATION, 3, **{semconv.ERROR_TYPE: "pool_timeout"})
    source.record(semconv.CONNECTION_CREATE_DURATION, 0.01)
    source.record(
        semconv.CONNECTION_CREATE_DURATION, 0.01, **{semconv.ERROR_TYPE: "connection_error"}
    )
    source.set(semconv.CONNECTION_OPENED, 1)
    pool = source.read().pools[KEY]
    assert (pool.acquired, pool.set_ups, pool.reused, pool.opened) == (5, 2, 3, 1)
    assert pool.wait.count == 6
    assert pool.wait.longest == 3


def test_since_gives_the_growth_of_counters_and_the_state_of_now():
    """The numbers and quantiles of an act are the difference of two views."""
    source = Source()
    empty = source.read()

    def numbers(requests, timeouts, live, wait, waits):
        source.set(semconv.REQUESTS, requests, **{semconv.STATUS_CODE: 200})
        source.set(semconv.TIMEOUTS, timeouts, **{semconv.TIMEOUT_KIND: "read"})
        source.set(semconv.POOL_LIVE, live)
        for _ in range(waits):
            source.record(semconv.ACQUIRE_DURATION, wait)
        return source.read()

    before = numbers(10, 1, 1, 0, 1)
    assert before.since(empty).pools[KEY].requests == 10  # a name that came later began at 0
    pool = numbers(12, 4, 3, 2.0, 4).since(before).pools[KEY]
    assert (pool.requests, pool.timeouts, pool.live, pool.wait.count) == (2, {"read": 3}, 3, 4)
    assert 1.0 < pool.wait.quantile(0.5)[0] <= 2.0


def test_grpc_channels_are_counted_by_state_and_calls_by_status():
    """They replace connections and HTTP statuses."""
    source = Source()
    library = {semconv.POOL_LIBRARY: "grpc"}
    for state, number in (("ready", 2), ("idle", 0)):
        source.set(semconv.CHANNEL_CURRENT, number, **library, **{semconv.CHANNEL_STATE: state})
    for status, number in (("OK", 30), ("NOT_FOUND", 2)):
        source.set(semconv.REQUESTS, number, **library, **{semconv.RPC_STATUS_CODE: status})
    (key,) = source.read().pools
    pool = source.read().pools[key]
    assert key.of_channels
    assert not KEY.of_channels
    assert pool.channels == {"ready": 2, "idle": 0}
    assert (pool.requests, pool.failed) == (32, 2)


def test_an_exponential_histogram_counts_but_has_no_quantiles():
    """A view of the user's may change the aggregation."""
    exponential = SdkView(
        instrument_name=semconv.ACQUIRE_DURATION.name,
        aggregation=ExponentialBucketHistogramAggregation(),
    )
    source = Source(views=[exponential])
    source.record(semconv.ACQUIRE_DURATION, 1.0)
    pool = source.read().pools[KEY]
    assert pool.acquired == 1
    assert pool.wait.quantile(0.5) is None


@pytest.mark.parametrize("missing", [0, 1])
def test_missing_hooks_and_own_failures_are_reported(missing):
    """Missing values are named, and not shown as 0."""
    source = Source()
    source.set_raw(semconv.HOOK_MISSING, missing, {semconv.HOOK_LIBRARY: "httpx"})
    source.set_raw(semconv.INSTRUMENTATION_DROPPED, 4, {semconv.INSTRUMENTATION_KIND: "buffer"})
    view = source.read()
    assert view.missing_hooks == {"httpx": missing}
    assert view.own_failures == 4


def test_observed_libraries_are_shown():
    """The metric of missing hooks names them from their import on; any-llm is no such library."""
    source = Source()
    for library in ("any_llm", "httpx2", "urllib3"):
        source.set_raw(semconv.HOOK_MISSING, 0, {semconv.HOOK_LIBRARY: library})
    assert health_lines(source.read()) == ["Observed libraries: httpx2, urllib3."]


def test_leaks_and_streams_are_summed():
    """A difference has the current state as well."""
    source = Source()
    for port in (1, 2):
        source.set(semconv.STREAM_ACTIVE, 1, **{semconv.SERVER_PORT: port})
        source.set(semconv.STREAM_MAX, 4, **{semconv.SERVER_PORT: port})
        source.set(semconv.STREAM_ORPHANED, 2, **{semconv.SERVER_PORT: port})
    source.set(semconv.LEAK_SUSPECTED, 3)
    before = source.read()
    for view in (before, source.read().since(before)):
        pool = view.pools[KEY]
        assert (pool.streams_active, pool.streams_max, pool.streams_orphaned) == (2, 8, 4)
        assert pool.leaks_suspected == 3


def finding(kind: str, severity: str, **about: str) -> dict[str, str]:
    return {semconv.FINDING_KIND: kind, semconv.FINDING_SEVERITY: severity, **about}


CALLS = {semconv.PROVIDER_NAME: "openai", semconv.CALL_SOURCE: "any_llm"}


def test_findings_belong_to_a_pool_to_calls_or_to_the_process():
    """Those that have ended are not shown. Errors come first."""
    source = Source()
    source.set(semconv.FINDING_CURRENT, 1, **finding("slow_consumer", "warning"))
    source.set(semconv.FINDING_CURRENT, 1, **finding("leak", "error"))
    source.set(semconv.FINDING_CURRENT, 0, **finding("retries", "error"))
    source.set_raw(semconv.FINDING_CURRENT, 1, finding("retries", "warning", **CALLS))
    source.set_raw(semconv.FINDING_CURRENT, 1, finding("blocked_event_loop", "error"))
    source.set_raw(semconv.FINDING_JUDGED, 3, {})
    view = source.read().since(View())
    assert view.verdict(KEY) == "error: leak; warning: slow consumer"
    assert view.verdict(CallKey("openai", "any_llm")) == "warning: retries"
    assert [found.verdict for found in view.findings[None]] == ["error: blocked event loop"]
    assert view.judgements == 3
    assert (View().judgements, View().verdict(KEY)) == (None, None)


def test_evidence_of_a_finding_is_in_the_first_line_of_its_log_record():
    line = "Finding (error, PID 7): leak in openai/httpx2: 4 of 4: held\nERROR: leak"
    assert logged_evidence(line) == "4 of 4: held"

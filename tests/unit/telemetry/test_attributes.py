"""Attribute sets: the contract's keys and nothing else, built once, within a bound."""

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.attributes import (
    MAX_SETS,
    HistogramAttributes,
    of_origin,
    of_series,
)
from unit.pool.fakes import FakePool, Scene

MODEL = semconv.REQUEST_MODEL


def test_provider_has_its_registered_name(scene):
    """The attribute is not any-llm's key."""
    pool = FakePool()
    ledger = scene.track(pool, "mistral", "mistral").ledger
    assert of_series(ledger, ledger.series).base[semconv.PROVIDER_NAME] == "mistral_ai"


def test_sets_are_built_once(scene):
    """A request that ends builds no dict."""
    histogram = HistogramAttributes("lease")
    for make in (
        lambda: of_series(scene.ledger, scene.ledger.series),
        lambda: of_origin(scene.origin),
        lambda: of_origin(scene.origin).of_request((200, None, False)),
        lambda: of_origin(scene.origin).of(semconv.REQUEST_PHASE, "queued"),
        lambda: histogram.of(scene.origin, "cancelled"),
    ):
        assert make() is make()
    assert histogram.of(scene.origin) is of_origin(scene.origin).base


def test_sets_of_one_histogram_are_bounded():
    """Any number of models and origins stays below the SDK's limit."""
    scene = Scene(max_origins=200)
    histogram = HistogramAttributes("acquire")
    origins = [scene.tracker.origin(b"host-%d" % number, 80, b"http") for number in range(220)]
    seen = set()
    for origin in origins:
        seen.add(frozenset(histogram.of(origin).items()))
        for model in range(20):
            for error in (None, "pool_timeout", "cancelled"):
                found = histogram.of(origin, error, MODEL, f"model-{model}")
                seen.add(frozenset(found.items()))
    assert len(seen) < 1500


def test_failure_beyond_the_bound_is_still_a_failure(scene):
    """Its type folds into _OTHER, and does not become a success."""
    histogram = HistogramAttributes("create")
    for number in range(3000):
        histogram.of(scene.origin, None, MODEL, f"model-{number}")
    base = of_origin(scene.origin).base
    folded = histogram.of(scene.origin, "connect_timeout", MODEL, "new")
    assert folded == {**base, "error.type": "_OTHER"}
    assert histogram.of(scene.origin, None, MODEL, "new") == base


def test_records_of_one_set_count_once(scene):
    """Another histogram has many sets for the same origin."""
    origin = scene.origin
    many, few = HistogramAttributes("acquire"), HistogramAttributes("create")
    for number in range(MAX_SETS):
        many.of(origin, None, MODEL, f"model-{number}")
    for _ in range(MAX_SETS):
        few.of(origin, "connect_timeout")
    assert few.of(origin, "connection_error")["error.type"] == "connection_error"


def test_folded_records_leave_nothing_in_memory(scene):
    """Each model beyond the bound is folded into one of the origin's two sets."""
    origin = scene.origin
    histogram = HistogramAttributes("acquire")
    for number in range(MAX_SETS):
        histogram.of(origin, None, MODEL, f"model-{number}")
    kept = len(origin.attributes.counted)
    for number in range(100):
        histogram.of(origin, "cancelled", MODEL, f"further-{number}")
    assert len(origin.attributes.counted) == kept == MAX_SETS

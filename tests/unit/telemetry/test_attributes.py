"""Attribute sets: the contract's keys and nothing else, built once, within a bound."""

from __future__ import annotations

import pytest

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.attributes import (
    MAX_SETS,
    HistogramAttributes,
    of_origin,
    of_series,
)
from unit.pool.fakes import FakePool, Scene

POOL = {
    "gluellm.pool.name": "openai",
    "gluellm.pool.library": "httpx2",
    "gen_ai.provider.name": "openai",
}
ORIGIN = {**POOL, "server.address": "api.test", "server.port": 443}


def test_pool_has_name_library_and_provider(scene: Scene) -> None:
    """The level P of the contract. A provider without a registered name goes by any-llm's key."""
    attributes = of_series(scene.ledger, scene.ledger.series)
    assert attributes.base == attributes.of() == POOL
    assert attributes.of(semconv.REQUEST_PHASE, "queued") == {
        **POOL,
        "gluellm.request.phase": "queued",
    }
    pools = FakePool(), FakePool()
    mistral = scene.track(pools[0], "mistral", "mistral").ledger
    unknown = scene.track(pools[1], "httpx2", None).ledger
    base = of_series(mistral, mistral.series).base
    assert base["gen_ai.provider.name"] == "mistral_ai"
    assert base["gluellm.pool.name"] == "mistral"
    assert "gen_ai.provider.name" not in of_series(unknown, unknown.series).base


def test_origin_has_address_and_port(scene: Scene) -> None:
    """The level O of the contract; beyond max_origins the port is left out."""
    attributes = of_origin(scene.origin)
    assert attributes.base == ORIGIN
    assert attributes.of("a", 2, "b", None, "c", True) == {**ORIGIN, "a": 2, "c": True}
    other = Scene(max_origins=1).tracker.origin(b"other.test", 80, b"http")
    assert of_origin(other).base == {**POOL, "server.address": "_OTHER"}


STATUS, ERROR = "http.response.status_code", "error.type"
MODEL = semconv.REQUEST_MODEL


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ((200, None, False), {STATUS: 200}),
        ((200, "read_error", False), {STATUS: 200, ERROR: "read_error"}),
        ((0, "pool_timeout", False), {ERROR: "pool_timeout"}),
        ((503, None, True), {STATUS: 503, "gluellm.request.resend": True}),
    ],
)
def test_request_has_status_and_error_where_there_are_any(
    scene: Scene, key: tuple[int, str | None, bool], expected: dict[str, object]
) -> None:
    """Absent on success, absent without a head, absent for a call's first request."""
    assert of_origin(scene.origin).of_request(key) == {**ORIGIN, **expected}


def test_sets_are_built_once(scene: Scene) -> None:
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


def test_histogram_has_what_is_given(scene: Scene) -> None:
    """What is None is left out; no two share a set."""
    model, operation = MODEL, semconv.OPERATION_NAME
    first, second = HistogramAttributes("first"), HistogramAttributes("second")
    for histogram, given, expected in (
        (first, ("cancelled", model, "m", operation, None), {ERROR: "cancelled", model: "m"}),
        (first, (None, model, "m", operation, "chat"), {model: "m", operation: "chat"}),
        (first, (None, semconv.RESPONSE_STREAMING, False), {"gluellm.response.streaming": False}),
        (first, (None, semconv.PROTOCOL_VERSION, "2"), {"network.protocol.version": "2"}),
        (second, (None, model, "2"), {model: "2"}),
        (first, (None, model, "chat", operation, None), {model: "chat"}),
        (first, (None, model, None, operation, "chat"), {operation: "chat"}),
    ):
        assert histogram.of(scene.origin, *given) == {**ORIGIN, **expected}


def test_sets_of_one_histogram_are_bounded() -> None:
    """Any number of models on any number of origins stays under what the SDK would fold."""
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


def test_failure_beyond_the_bound_is_still_a_failure(scene: Scene) -> None:
    """Its type folds into _OTHER, and does not become a success."""
    histogram = HistogramAttributes("create")
    for number in range(3000):
        histogram.of(scene.origin, None, MODEL, f"model-{number}")
    assert histogram.of(scene.origin, "connect_timeout", MODEL, "new") == {
        **ORIGIN,
        "error.type": "_OTHER",
    }
    assert histogram.of(scene.origin, None, MODEL, "new") == ORIGIN


def test_records_of_one_set_count_once(scene: Scene) -> None:
    """Another histogram has many sets for the same origin."""
    origin = scene.origin
    many, few = HistogramAttributes("acquire"), HistogramAttributes("create")
    for number in range(MAX_SETS):
        many.of(origin, None, MODEL, f"model-{number}")
    for _ in range(MAX_SETS):
        few.of(origin, "connect_timeout")
    assert few.of(origin, "connection_error")["error.type"] == "connection_error"


def test_folded_records_leave_nothing_in_memory(scene: Scene) -> None:
    """Each model beyond the bound is folded into one of the origin's two sets."""
    origin = scene.origin
    histogram = HistogramAttributes("acquire")
    for number in range(MAX_SETS):
        histogram.of(origin, None, MODEL, f"model-{number}")
    kept = len(origin.attributes.counted)
    for number in range(100):
        histogram.of(origin, "cancelled", MODEL, f"further-{number}")
    assert len(origin.attributes.counted) == kept == MAX_SETS

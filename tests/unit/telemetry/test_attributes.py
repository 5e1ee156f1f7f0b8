"""Attribute sets: the contract's keys and nothing else, built once, within a bound."""

from __future__ import annotations

import pytest

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.attributes import (
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


def test_pool_has_name_library_and_provider() -> None:
    """The level P of the contract."""
    scene = Scene()
    assert of_series(scene.ledger, scene.ledger.series).base == POOL
    attributes = of_series(scene.ledger, scene.ledger.series)
    assert attributes.of(None, None) == POOL
    assert attributes.of(semconv.REQUEST_PHASE, "queued") == {
        **POOL,
        "gluellm.request.phase": "queued",
    }


def test_provider_goes_by_its_registered_name() -> None:
    """any-llm's key where none is registered, and no attribute at all where it is unknown."""
    scene = Scene()
    pools = FakePool(), FakePool()
    mistral = scene.track(pools[0], "mistral", "mistral").ledger
    unknown = scene.track(pools[1], "httpx2", None).ledger
    assert of_series(mistral, mistral.series).base["gen_ai.provider.name"] == "mistral_ai"
    assert of_series(mistral, mistral.series).base["gluellm.pool.name"] == "mistral"
    assert "gen_ai.provider.name" not in of_series(unknown, unknown.series).base


def test_origin_has_address_and_port() -> None:
    """The level O of the contract."""
    scene = Scene()
    attributes = of_origin(scene.origin)
    assert attributes.base == ORIGIN
    assert attributes.phases[2] == {**ORIGIN, "gluellm.request.phase": "stream_queued"}
    assert attributes.timeouts["connect"] == {**ORIGIN, "gluellm.timeout.kind": "connect"}
    assert attributes.connections["2", "idle"] == {
        **ORIGIN,
        "network.protocol.version": "2",
        "http.connection.state": "idle",
    }


def test_origin_beyond_the_bound_has_no_port() -> None:
    """The convention requires it; beyond max_origins it is left out all the same."""
    scene = Scene(max_origins=1)
    other = scene.tracker.origin(b"other.test", 80, b"http")
    assert of_origin(other).base == {**POOL, "server.address": "_OTHER"}


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ((200, None, False), {"http.response.status_code": 200}),
        (
            (200, "read_error", False),
            {"http.response.status_code": 200, "error.type": "read_error"},
        ),
        ((0, "pool_timeout", False), {"error.type": "pool_timeout"}),
        ((503, None, True), {"http.response.status_code": 503, "gluellm.request.resend": True}),
    ],
)
def test_request_has_status_and_error_where_there_are_any(
    key: tuple[int, str | None, bool], expected: dict[str, object]
) -> None:
    """Absent on success, absent without a head, absent for a call's first request."""
    assert of_origin(Scene().origin).of_request(key) == {**ORIGIN, **expected}


def test_sets_are_built_once() -> None:
    """A request that ends builds no dict."""
    scene = Scene()
    histogram = HistogramAttributes("lease")
    assert of_series(scene.ledger, scene.ledger.series) is of_series(
        scene.ledger, scene.ledger.series
    )
    assert of_origin(scene.origin) is of_origin(scene.origin)
    assert of_origin(scene.origin).of_request((200, None, False)) is of_origin(
        scene.origin
    ).of_request((200, None, False))
    assert histogram.of(scene.origin) is of_origin(scene.origin).base
    assert histogram.of(scene.origin, error="cancelled") is histogram.of(
        scene.origin, error="cancelled"
    )


def test_histogram_has_what_is_given() -> None:
    """Model and operation by their keys; what is None is left out."""
    origin = Scene().origin
    histogram = HistogramAttributes("acquire")
    assert histogram.of(origin, error="cancelled", model="m", operation=None) == {
        **ORIGIN,
        "error.type": "cancelled",
        "gen_ai.request.model": "m",
    }
    assert histogram.of(origin, model="m", operation="chat") == {
        **ORIGIN,
        "gen_ai.request.model": "m",
        "gen_ai.operation.name": "chat",
    }
    assert histogram.of(origin, streaming=False)["gluellm.response.streaming"] is False


def test_histograms_do_not_share_their_sets() -> None:
    """Two with the same arguments and different keys are told apart."""
    origin = Scene().origin
    first, second = HistogramAttributes("first"), HistogramAttributes("second")
    assert first.of(origin, protocol="2") == {**ORIGIN, "network.protocol.version": "2"}
    assert first.of(origin, protocol="websocket") == {
        **ORIGIN,
        "network.protocol.name": "websocket",
    }
    assert second.of(origin, model="2") == {**ORIGIN, "gen_ai.request.model": "2"}


def test_one_histogram_tells_its_keys_apart() -> None:
    """The same value under another key is another set."""
    origin = Scene().origin
    histogram = HistogramAttributes("lease")
    assert histogram.of(origin, model="chat", operation=None) != histogram.of(
        origin, model=None, operation="chat"
    )


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
                found = histogram.of(origin, error=error, model=f"model-{model}", operation="chat")
                seen.add(frozenset(found.items()))
    assert len(seen) < 1500


def test_failure_beyond_the_bound_still_is_one() -> None:
    """Its type folds into _OTHER, and does not become a success."""
    scene = Scene()
    histogram = HistogramAttributes("create")
    for number in range(3000):
        histogram.of(scene.origin, model=f"model-{number}")
    assert histogram.of(scene.origin, error="connect_timeout", model="new") == {
        **ORIGIN,
        "error.type": "_OTHER",
    }
    assert histogram.of(scene.origin, model="new") == ORIGIN

"""Opt-in attributes: streamed responses, and the model."""

import pytest

from opentelemetry.instrumentation.gluellm.attribution.context import current_call
from opentelemetry.instrumentation.gluellm.pool.call import Call
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.script import Reply

from .conftest import EVERYWHERE

EVENTS = (("content-type", "text/event-stream; charset=utf-8"),)


@EVERYWHERE
@pytest.mark.parametrize(("metrics", "told"), [("full", {True: 1, False: 2}), ("lean", {None: 3})])
def test_full_metrics_distinguish_streamed_responses(
    runner, library, server, instrument, metrics, told
):
    """The content type decides. The lease histogram has twice as many series."""
    telemetry = instrument(metrics=metrics)
    pool = runner.pool(library)
    pool.get(server.reply("/stream", Reply(headers=EVENTS)))
    for _ in range(2):
        pool.get(server.url())
    points = telemetry.points(semconv.LEASE_DURATION)
    found = {point.attributes.get(semconv.RESPONSE_STREAMING): point.count for point in points}
    assert found == told
    pool.close()


@pytest.mark.parametrize("told", [True, False])
def test_model_attributes_add_model_and_operation_to_two_histograms(
    library, server, instrument, told
):
    """These are the acquire and lease histograms; no other metric has them."""
    telemetry = instrument(model_attributes=told)
    pool = library.core.ConnectionPool()
    token = current_call.set(Call("openai", "m-1", "chat"))
    try:
        pool.request("GET", server.url())
    finally:
        current_call.reset(token)
    keys = {semconv.REQUEST_MODEL, semconv.OPERATION_NAME}
    for name, points in telemetry.collect().items():
        wanted = keys if told and name in _WITH_MODEL else set()
        for point in points:
            assert keys & set(point.attributes) == wanted, name
    pool.close()


_WITH_MODEL = {semconv.ACQUIRE_DURATION.name, semconv.LEASE_DURATION.name}

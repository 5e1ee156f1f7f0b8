"""No point and no span has a key that the contract doesn't name, nor an event or a description."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.attribution.context import current_call
from opentelemetry.instrumentation.gluellm.pool.lease import Call
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.http1 import HTTP1Server
from support.libraries import Library
from support.network import refused_url

from .places import Places

KNOWN = {attribute.key for attribute in semconv.ATTRIBUTES} | {
    value
    for name, value in vars(semconv).items()
    if name.startswith(("SPAN_", "TLS_", "CONNECTION_REUSED")) and isinstance(value, str)
}
NAMES = re.compile(r"(HTTP (wait_for_connection|connection_setup)|socket connect) 127\.0\.0\.1:\d+")


@pytest.mark.parametrize("places", [{"model_attributes": True}], indirect=True)
@pytest.mark.parametrize("name", ["httpx", "httpx2"])
def test_attributes_are_the_contracts(name: str, server: HTTP1Server, places: Places) -> None:
    """With everything on that makes it tell more, of an answer and of a failure."""
    library = Library.load(name)
    with library.client.Client(verify=False, trust_env=False) as client:
        called = current_call.set(Call("openai", "gpt-test", "chat"))
        client.get(server.url())
        with contextlib.suppress(library.client.HTTPError):
            client.get(refused_url())
        current_call.reset(called)
    places.look()
    keys: set[Any] = set()
    for points in places.telemetry.collect().values():
        for point in points:
            keys |= set(point.attributes)
    for span in places.telemetry.spans():
        keys |= set(span.attributes or {})
        assert span.events == ()
        assert span.status.description is None
        assert NAMES.fullmatch(span.name)
    assert keys <= KNOWN, keys - KNOWN
    assert json.loads(places.texts["metrics"])

"""No path, query, header, body, credential or baggage in any metric, span or log."""

from __future__ import annotations

import contextlib
import json
import logging
import re
from typing import Any

import pytest

from opentelemetry import baggage, context
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.attribution.context import current_call
from opentelemetry.instrumentation.gluellm.pool.lease import Call
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.metrics import DurationObserver
from support.http1 import HTTP1Server
from support.libraries import Library
from support.script import Failure, Reply
from support.telemetry import Telemetry

from .conftest import Instrument

SECRET = "s3cr3t"
KNOWN = {attribute.key for attribute in semconv.ATTRIBUTES} | {
    value
    for name, value in vars(semconv).items()
    if name.startswith(("SPAN_", "TLS_", "CONNECTION_REUSED")) and isinstance(value, str)
}


def everything(telemetry: Telemetry, logs: pytest.LogCaptureFixture) -> str:
    """All that left the instrumentation, as text."""
    data = telemetry.reader.get_metrics_data()
    assert data is not None
    texts = [data.to_json()]
    texts += [span.to_json() or "" for span in telemetry.spans()]
    texts += [
        logging.Formatter().format(record)
        for record in logs.records
        if record.name.startswith("opentelemetry")
    ]
    texts.append(
        repr(GlueLLMInstrumentor._installation and GlueLLMInstrumentor._installation.stats())
    )
    return "\n".join(texts)


def attempt(client: Any, library: Library, url: str, **settings: Any) -> None:
    """A request, whatever comes of it."""
    settings.setdefault("headers", {})
    settings["headers"] |= {
        "Authorization": f"Bearer {SECRET}",
        "Cookie": f"session={SECRET}",
        f"X-{SECRET}": SECRET,
    }
    with contextlib.suppress(library.client.HTTPError):
        client.post(url, params={"api_key": SECRET}, json={"prompt": SECRET}, **settings)


def test_nothing_of_a_request_is_told(
    library: Library,
    server: HTTP1Server,
    instrument: Instrument,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of good ones and of failed ones, inside any-llm calls and outside, with all settings on."""

    def fail(*_: Any) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(DurationObserver, "connection_closed", fail)
    caplog.set_level(logging.DEBUG)
    telemetry = instrument(
        metrics="full", span_min_duration=0, model_attributes=True, time_in_queue=True
    )
    path = f"/v1/{SECRET}"
    secret_url = server.url(path).replace("//", f"//user:{SECRET}@")
    timeout = library.client.Timeout(1.0, pool=0.02, read=0.1)
    token = context.attach(baggage.set_baggage("user", SECRET))
    tracer = telemetry.tracer_provider.get_tracer("test")
    limits = library.client.Limits(max_connections=1)
    settings: dict[str, Any] = {"trust_env": False, "timeout": timeout, "limits": limits}
    with library.client.Client(**settings) as client, tracer.start_as_current_span("caller"):
        for reply in (
            Reply(headers=(("set-cookie", f"a={SECRET}"), (f"x-{SECRET}", SECRET))),
            Reply(status=401, chunks=((0.0, SECRET.encode()),)),
            Reply(status=302, headers=(("location", f"http://127.0.0.1:9/{SECRET}"),)),
            Reply(head_after=server.gate()),
            Reply(failure=Failure.RESET_BEFORE_HEAD),
            Reply(failure=Failure.EOF_IN_BODY),
        ):
            server.reply(path, reply)
            for call in (None, Call("openai", "gpt-test", "chat")):
                called = current_call.set(call)
                attempt(client, library, secret_url, follow_redirects=True)
                current_call.reset(called)
        server.reply(path, Reply())
        with client.stream("GET", secret_url, headers={"Authorization": SECRET}):
            attempt(client, library, secret_url)
        attempt(client, library, f"http://user:{SECRET}@127.0.0.1:9/{SECRET}#{SECRET}")
        attempt(client, library, f"https://127.0.0.1:{server.port}/{SECRET}")
    context.detach(token)
    told = everything(telemetry, caplog)
    assert SECRET not in told
    assert "Bearer" not in told
    assert "user:" not in told
    assert "/v1" not in told
    # And it was no silence.
    assert '"pool_timeout"' in told
    assert '"read_timeout"' in told
    assert "HTTP wait_for_connection 127.0.0.1" in told
    assert "observer.connection_closed" in told


def test_host_that_is_no_host_is_not_told(
    library: Library,
    instrument: Instrument,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What somebody put there by mistake, a key for instance, must not become a label."""
    telemetry = instrument(span_min_duration=0)
    pool = library.core.ConnectionPool()
    for host in (f"{SECRET} {SECRET}", f"{SECRET}/v1", f"user:{SECRET}@x", "s3cr3t\n"):
        url = library.core.URL(scheme=b"http", host=host.encode(), port=80, target=b"/")
        with pytest.raises(Exception):  # noqa: B017
            pool.handle_request(library.core.Request("GET", url))
    assert SECRET not in everything(telemetry, caplog)
    pool.close()


def test_attributes_are_the_contracts(
    library: Library, server: HTTP1Server, instrument: Instrument
) -> None:
    """No point and no span of ours has a key that the contract doesn't name."""
    telemetry = instrument(metrics="full", span_min_duration=0, model_attributes=True)
    with library.client.Client(trust_env=False) as client:
        called = current_call.set(Call("openai", "gpt-test", "chat"))
        attempt(client, library, server.url())
        attempt(client, library, "http://127.0.0.1:9/")
        current_call.reset(called)
    keys = {
        key
        for points in telemetry.collect().values()
        for point in points
        for key in point.attributes
    }
    for span in telemetry.spans():
        keys |= set(span.attributes or {})
        assert span.events == ()
        assert span.status.description is None
        assert re.fullmatch(
            r"(HTTP (wait_for_connection|connection_setup)|socket connect) 127\.0\.0\.1:\d+",
            span.name,
        )
    assert keys <= KNOWN, keys - KNOWN
    assert json.loads(telemetry.reader.get_metrics_data().to_json())  # type: ignore[union-attr]

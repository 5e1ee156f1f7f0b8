"""urllib3's own: retries and redirects are further requests, within one call of ``urlopen``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import urllib3
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
from opentelemetry.trace import SpanKind

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clients import Runner
from support.deaf import MORE_THAN_BUFFERS, DeafServer
from support.http1 import HTTP1Server
from support.installation import instrument
from support.libraries import Library
from support.listener import Listen
from support.network import refused_url
from support.outcomes import assert_rows, connect_failed, failed, new, reused
from support.script import Failure, Reply
from support.telemetry import Telemetry
from support.waiting import wait_until

pytestmark = pytest.mark.modes("sync")


@pytest.fixture(params=["before", "after"])
def traced(request: pytest.FixtureRequest, untouched: Telemetry) -> Iterator[Telemetry]:
    """OpenTelemetry's own instrumentation of urllib3, installed before ours and after it."""

    def theirs() -> None:
        URLLib3Instrumentor().instrument(
            tracer_provider=untouched.tracer_provider, meter_provider=untouched.meter_provider
        )

    if request.param == "before":
        theirs()
    instrument(untouched, span_min_duration=0.0)
    if request.param == "after":
        theirs()
    yield untouched
    URLLib3Instrumentor().uninstrument()
    GlueLLMInstrumentor().uninstrument()


def test_each_try_is_a_request(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """A reset, an end of file, and an answer: three connections were taken."""
    pool: Any = runner.pool(library)
    broken = (Failure.RESET_BEFORE_HEAD, Failure.EOF_BEFORE_HEAD)
    url = server.reply("/", *(Reply(failure=failure) for failure in broken), Reply())
    response = pool.open(url, retries=2, preload_content=True)
    assert response.data == b"ok"
    assert_rows(telemetry, failed("read_error"), failed("protocol_error"), new())
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0
    assert telemetry.by(semconv.CONNECTION_CLOSED, "reason") == {"error": 2}


def test_back_off_is_no_part_of_a_request(
    runner: Runner, library: Library, telemetry: Telemetry
) -> None:
    """Between two tries nothing is in the pool."""
    pool: Any = runner.pool(library)
    retries = urllib3.Retry(connect=2, backoff_factor=0.2)
    exchange = pool.send_with(refused_url(), retries=retries)
    exchange.failure()
    assert exchange.duration >= 0.4
    rows = [connect_failed("connection_error")] * 3
    assert_rows(telemetry, *rows)
    assert sum(telemetry.phases().values()) < 0.3


def test_status_that_is_tried_again(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """Its body is read to its end, and the next try has the same connection."""
    pool: Any = runner.pool(library)
    url = server.reply("/", Reply(status=503), Reply())
    retries = urllib3.Retry(total=2, status_forcelist=[503], backoff_factor=0)
    response = pool.open(url, retries=retries)
    assert response.read() == b"ok"
    assert_rows(telemetry, new(status=503), reused())
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0


@pytest.mark.parametrize("preload", [True, False])
def test_redirect_is_two_requests(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry, *, preload: bool
) -> None:
    """Whether a manager follows it, or a pool by itself."""
    pool: Any = runner.pool(library, follow_redirects=True)
    server.reply("/old", Reply(status=302, headers=(("Location", "/new"),)))
    response = pool.open(server.url("/old"), preload_content=preload)
    assert response.data == b"ok"
    with urllib3.HTTPConnectionPool("127.0.0.1", server.port) as single:
        assert single.urlopen("GET", "/old", preload_content=preload).data == b"ok"
    assert_rows(telemetry, new(status=302), reused(), new(status=302), reused())
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0


def test_spans_nest_under_those_of_opentelemetrys_instrumentation(
    runner: Runner, library: Library, server: HTTP1Server, traced: Telemetry
) -> None:
    """Whichever of the two was installed first; the wait and the set-up belong to its span."""
    pool: Any = runner.pool(library, max_connections=1)
    holder = pool.open(server.url())
    waiter = pool.send(server.url("/waiter"), pool=30)
    wait_until(lambda: traced.current("queued") == 1)
    holder.read()
    holder.release_conn()
    waiter.head()
    waiter.read()
    clients = [span for span in traced.spans() if span.kind is SpanKind.CLIENT]
    assert len(clients) == 2
    (setup,) = traced.spans("HTTP connection_setup")
    (wait,) = traced.spans("HTTP wait_for_connection")
    by_id = {span.get_span_context().span_id: span for span in clients}
    assert setup.parent is not None
    assert wait.parent is not None
    assert by_id[setup.parent.span_id] is not by_id[wait.parent.span_id]
    attributes = [dict(span.attributes or {}) for span in clients]
    assert sorted(a["gluellm.connection.reused"] for a in attributes) == [False, True]
    assert all("gluellm.pool.acquire.duration" in a for a in attributes)


def test_failed_proxy_is_no_failure_of_tls(
    runner: Runner, library: Library, telemetry: Telemetry
) -> None:
    """What a proxy is in the way of is named after its cause."""
    pool: Any = runner.pool(library, proxy=refused_url())
    exchange = pool.send("https://api.test/")
    exchange.failure()
    assert_rows(telemetry, connect_failed("connection_error"))


def test_failure_while_sending_that_is_tried_again(
    runner: Runner, library: Library, listen: Listen, telemetry: Telemetry
) -> None:
    """Of the last try the exception tells; of one before, that it broke off while it was sent."""
    deaf = listen(DeafServer)
    pool: Any = runner.pool(library)
    retries = urllib3.Retry(1, allowed_methods=None)
    exchange = pool.send_with(
        deaf.url(), body=bytes(MORE_THAN_BUFFERS), timeouts={"write": 0.1}, retries=retries
    )
    exchange.failure()
    assert_rows(telemetry, failed("write_error"), failed("write_timeout"))
    assert telemetry.by(semconv.CONNECTION_CLOSED, "reason") == {"error": 2}
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0

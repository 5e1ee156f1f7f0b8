"""Behaviour that only urllib3 has: managers, queue, retries, preloaded bodies, replays."""

import asyncio
import gc
import queue
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
from opentelemetry.trace import SpanKind

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot
from opentelemetry.instrumentation.gluellm.adapters.urllib3 import pools
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.deaf import MORE_THAN_BUFFERS, DeafServer
from support.http1 import HTTP1Server
from support.installation import instrument
from support.listener import Listener
from support.network import refused_url
from support.outcomes import assert_near, assert_phases, assert_rows, assert_settled
from support.rows import breaks_off_in_the_body, connect_failed, failed, new, reused
from support.script import Failure, Reply
from support.telemetry import Telemetry
from support.waiting import LATENESS, wait_until, wait_until_collected

pytestmark = pytest.mark.only("urllib3")
OLD = urllib3.__version__.startswith("1.")


def test_cleared_manager_builds_new_pools(pool, server, telemetry):
    """The old pools are reported as closed, although the manager only drops them."""
    first = pool.get(server.url())
    pool.raw.clear()
    gc.collect()
    assert telemetry.by(semconv.POOL_DISCARDED, "discard") == {"closed": 1}
    assert telemetry.closed() == {"pool_closed": 1}
    second = pool.get(server.url())
    assert_settled(telemetry, [first, second], new(), new())
    telemetry.check(POOL_LIVE=1, POOL_OPENED=2)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("sentry_sdk.transport", "sentry"),
        ("elasticapm.transport.http", "elastic-apm"),
        ("sentry_sdk.integrations.stdlib", "urllib3"),
        ("elasticapm.instrumentation.packages.urllib3", "urllib3"),
    ],
)
def test_deliveries_of_other_agents_have_pools_of_their_own_names(module, name, server, telemetry):
    """The functions with which they wrap the application's requests do not name its pools."""
    scope = {"__name__": module}
    exec("def deliver(manager, url): return manager.request('POST', url, body=b'{}')", scope)
    with urllib3.PoolManager() as manager:
        assert scope["deliver"](manager, server.url()).status == 200
    assert telemetry.by(semconv.POOL_OPENED, "name") == {name: 1}


def test_request_continues_after_its_pool_is_closed(pool, server, telemetry):
    """Its connection cannot return to the pool and is closed at the end of the request."""
    exchange, gate = pool.hold(server, "/")
    pool.core.close()
    assert telemetry.value(semconv.CONNECTION_CLOSED) == 0
    assert telemetry.current("unread") == 1
    gate.open()
    assert exchange.read() == b"ok"
    assert_settled(telemetry, [exchange], new(), closed={"pool_closed": 1})
    assert telemetry.value(semconv.POOL_LIVE) == 0


def test_request_may_use_a_pool_that_its_manager_has_dropped(pool, server, telemetry):
    """As a request of another thread may take a connection of a pool that is being closed."""
    pool.get(server.url())
    core = pool.core
    pool.raw.clear()
    assert core.request("GET", "/").data == b"ok"
    assert telemetry.closed() == {}
    core.close()
    assert_rows(telemetry, new(), reused(), closed={"pool_closed": 1})
    telemetry.check(CONNECTION_OPENED=1)


@pytest.mark.parametrize("status", [200, 204])
def test_request_may_take_a_connection_while_its_pool_is_closed(
    pool, server, telemetry, monkeypatch, status
):
    """The thread that closes the pool has just copied the queue with this connection."""
    first, gate = pool.get(server.url()), server.gate()
    answer = Reply(head_after=gate, status=status, chunks=() if status == 204 else ((0.0, b"ok"),))
    connection_of = pools.connection_of
    taken = []

    def take_first(connection: Any) -> Any:
        taken.append(pool.send(server.reply("/taken", answer)))
        server.timeline.wait_for("request", "/taken")
        return connection_of(connection)

    monkeypatch.setattr(pools, "connection_of", take_first)
    pool.core.close()
    telemetry.check(CONNECTION_CLOSED=0)
    gate.open()
    taken[0].finish()
    closed = {"pool_closed": 1}
    assert_settled(telemetry, [first, *taken], new(), reused(status=status), closed=closed)


def test_closed_pool_refuses_requests(pool, server, telemetry):
    """A request to a closed pool fails at once and counts as failed."""
    pool.get(server.url())
    closed = pool.core
    closed.close()
    with pytest.raises(urllib3.exceptions.ClosedPoolError):
        closed.urlopen("GET", "/")
    assert telemetry.requests() == {(200, None): 1, (None, "client_closed"): 1}
    telemetry.check(ACTIVE_REQUESTS=0, INSTRUMENTATION_ERRORS=0)


def test_manager_drops_the_least_recently_used_pool_beyond_num_pools(
    runner, library, listen, telemetry
):
    """A manager has one pool per origin, and at most ``num_pools``."""
    here, there = listen(HTTP1Server), listen(HTTP1Server)
    pool = runner.pool(library, num_pools=1)
    pool.call(here.url())
    pool.call(there.url())

    wait_until_collected(lambda: telemetry.value(semconv.POOL_DISCARDED) == 1)
    telemetry.check(POOL_LIVE=1, POOL_OPENED=2)
    assert telemetry.value(semconv.OPEN_CONNECTIONS, port=here.port) == 0
    assert telemetry.value(semconv.OPEN_CONNECTIONS, port=there.port) == 1
    assert telemetry.value(semconv.CONNECTION_CLOSED) == 1


def test_forwarding_proxy_serves_many_origins_with_one_pool(runner, library, listen, telemetry):
    """Each request has the origin of its URL, although they share a connection."""
    proxy = listen(HTTP1Server)
    pool = runner.pool(library, proxy=proxy.origin)
    for host in ("one.test", "other.test:8080"):
        response = pool.open(f"http://{host}/")
        assert response.read() == b"ok"
    assert telemetry.by(semconv.LEASE_DURATION, "address", "port") == {
        ("one.test", 80): 1,
        ("other.test", 8080): 1,
    }
    assert_rows(telemetry, new(), reused())
    telemetry.check(POOL_LIVE=1, OPEN_CONNECTIONS=1)


@pytest.mark.parametrize("taken", [True, False])
def test_wait_is_counted_if_another_request_takes_the_free_connection(
    runner, library, server, telemetry, taken
):
    """A thread that only lacks the CPU takes as long, but does not wait for the pool."""
    server.reply("/slow", Reply(head_after=0.1))

    class Queue(queue.LifoQueue[Any]):
        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            action = delays.pop() if delays else None
            if action is not None:
                action()
            return super().get(block, timeout)

    class Pool(urllib3.HTTPConnectionPool):
        QueueCls = Queue

    delays: list[Any] = []
    with Pool("127.0.0.1", server.port, maxsize=1, block=True) as pool:
        assert pool.urlopen("GET", "/").data == b"ok"
        delays.append((lambda: pool.urlopen("GET", "/slow")) if taken else lambda: time.sleep(0.1))
        assert pool.urlopen("GET", "/").data == b"ok"
    assert (telemetry.total(semconv.ACQUIRE_DURATION) >= 0.1) is taken
    assert (telemetry.value(semconv.PEAK_QUEUED) > 0) is taken


def test_pools_without_a_manager_are_observed(runner, library, server, telemetry):
    """A pool that the application builds, of a subclass like botocore's."""
    assert (runner.mode, library.name) == ("sync", "urllib3")

    class Connection(urllib3.connection.HTTPConnection):
        def close(self) -> None:
            super().close()

    class Pool(urllib3.HTTPConnectionPool):
        ConnectionCls = Connection

    with Pool("127.0.0.1", server.port) as pool:
        assert pool.request("GET", "/").data == b"ok"
        assert pool.request("GET", "/").data == b"ok"
        assert telemetry.value(semconv.OPEN_CONNECTIONS, state="idle") == 1
    assert_rows(telemetry, new(), reused(), closed={"pool_closed": 1})
    assert telemetry.by(semconv.POOL_DISCARDED, "discard") == {"closed": 1}


def test_pool_that_does_not_block_has_no_limit(runner, library, server, telemetry):
    """Three requests at once on a pool of one use three connections without a wait; one is kept."""
    pool = runner.pool(library, maxsize=1)
    gate = server.gate()
    url = server.reply("/held", Reply(end_after=gate))
    exchanges = [pool.send(url) for _ in range(3)]
    for exchange in exchanges:
        exchange.head()
    assert telemetry.value(semconv.OPEN_CONNECTIONS, state="active") == 3
    assert telemetry.points(semconv.CONNECTION_MAX) == []
    assert telemetry.points(semconv.OCCUPANCY_RATIO) == []
    assert telemetry.value(semconv.CONNECTION_IDLE_MAX) == 1
    gate.open()
    for exchange in exchanges:
        exchange.read()
    assert_settled(telemetry, exchanges, new(), new(), new())
    assert telemetry.total(semconv.ACQUIRE_DURATION) == 0
    assert telemetry.closed() == {"keepalive_limit": 2}
    assert telemetry.value(semconv.OPEN_CONNECTIONS, state="idle") == 1
    assert telemetry.value(semconv.PEAK_ACTIVE) == 3


def test_closed_response_without_release_conn_keeps_its_slot(
    pool_of_one, library, server, telemetry
):
    """The request is over after ``close()``, and a full pool stays full."""
    never = server.gate()
    response = pool_of_one.open(server.reply("/held", Reply(end_after=never)))
    response.close()
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0
    assert telemetry.closed() == {"response_incomplete": 1}
    late = pool_of_one.send(server.url(), pool=0.1)
    assert isinstance(late.failure(), library.raises("pool_timeout"))
    response.release_conn()
    assert pool_of_one.call(server.url()) == b"ok"
    assert telemetry.requests() == {(200, None): 2, (None, "pool_timeout"): 1}
    assert telemetry.value(semconv.INSTRUMENTATION_ERRORS) == 0


@pytest.mark.skipif(OLD, reason="urllib3 1.26 gives it back at once")
def test_connection_is_reused_after_an_explicit_release(pool, server, telemetry):
    """The response is read to its end and kept; the next request uses its connection."""
    response = pool.open(server.url(), release_conn=False, preload_content=True)
    assert response.data == b"ok"
    assert telemetry.current("unread") == 1
    response.release_conn()
    assert telemetry.current("unread") == 0
    pool.call(server.url())
    assert_rows(telemetry, new(), reused())


class NonsenseServer(Listener):
    """Answers any request with a chunk whose size is no number."""

    async def serve(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n")
        await reader.read()


def test_preloaded_body_counts_as_reading(pool, server, telemetry):
    """The body is read in ``urlopen``: the head's delay is awaiting, the body's is reading."""
    answer, gate = server.gate(), server.gate()
    url = server.reply("/", Reply(head_after=answer, end_after=gate))
    exchange = pool.send_with(url, preload_content=True)
    wait_until(lambda: telemetry.current("awaiting_response") == 1)
    wait_until(lambda: time.monotonic() > exchange.entered + 0.15)
    answer.open()
    wait_until(lambda: telemetry.current("reading") == 1)
    answered = server.timeline.at("head")
    wait_until(lambda: time.monotonic() > answered + 0.2)
    gate.open()
    exchange.head()
    exchange.close()
    assert_rows(telemetry, new())
    timeline = server.timeline
    head = timeline.at("head")
    assert_phases(
        telemetry,
        awaiting_response=head - timeline.at("request"),
        reading=timeline.at("body_end") - head,
    )
    assert telemetry.value(semconv.OPEN_CONNECTIONS, state="idle") == 1


@breaks_off_in_the_body
def test_broken_preloaded_body_has_status_and_error(
    pool, library, server, telemetry, failure, error
):
    with pytest.raises(library.raises(error)):
        pool.open(server.reply("/", Reply(failure=failure)), preload_content=True)
    assert_rows(telemetry, failed(error, status=200), closed={"error": 1})


def test_dropped_response_ends_the_request(pool, server, telemetry):
    """Its finalizer closes the connection, which ends the request."""
    response = pool.open(server.reply("/", Reply(end_after=server.gate())))
    assert telemetry.current("unread") == 1
    del response
    gc.collect()
    assert_rows(telemetry, new(), closed={"response_incomplete": 1})


@pytest.mark.parametrize(
    ("status", "reason"), [(200, "garbage_collected"), (204, "connection_close")]
)
@pytest.mark.skipif(OLD, reason="urllib3 1.26 releases it itself")
def test_dropped_response_without_a_body_ends_with_its_connection(
    pool, server, telemetry, status, reason
):
    """No finalizer runs for a response at its end; the request ends with the connection."""
    chunks = () if status == 204 else ((0.0, b"ok"),)
    url = server.reply("/", Reply(status=status, chunks=chunks))
    response = pool.open(url, release_conn=False, preload_content=status == 200)
    assert telemetry.current("unread") == 1
    del response
    gc.collect()
    assert_rows(telemetry, new(status=status), closed={reason: 1})
    telemetry.check(OPEN_CONNECTIONS=0)


def test_drain_conn_counts_as_reading_and_releases_the_connection(pool, server, telemetry):
    gate = server.gate()
    response = pool.open(server.reply("/", Reply(end_after=gate)))
    thread = threading.Thread(target=response.drain_conn)
    thread.start()
    wait_until(lambda: telemetry.current("reading") == 1)
    gate.open()
    thread.join()
    assert_rows(telemetry, new())
    assert telemetry.value(semconv.OPEN_CONNECTIONS, state="idle") == 1


def test_invalid_chunk_is_a_protocol_error(pool, library, listen, telemetry):
    """The library closes the response in the middle of its read."""
    server = listen(NonsenseServer)
    response = pool.open(server.url())
    with pytest.raises(library.raises("protocol_error")):
        b"".join(response.stream())
    assert_rows(telemetry, failed("protocol_error", status=200), closed={"error": 1})


def test_response_closed_by_another_thread_during_a_read_ends_once(pool, server, telemetry):
    """The read ends with an exception of any type, and the request ends once."""
    response = pool.open(server.reply("/", Reply(end_after=server.gate())))
    failures: list[BaseException] = []

    def read() -> None:
        try:
            b"".join(response.stream())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    wait_until(lambda: telemetry.current("reading") == 1)
    response.connection.sock.shutdown(socket.SHUT_RD)
    thread.join(60)
    assert not thread.is_alive()
    assert failures
    telemetry.check(ACTIVE_REQUESTS=0, REQUESTS=1, CONNECTION_CLOSED=1, INSTRUMENTATION_ERRORS=0)


def test_pauses_between_lines_are_unread_time(pool, server, telemetry):
    """The reader iterates over lines, as SDKs read event streams."""
    url = server.reply("/", Reply(chunks=((0.0, b"a\n"), (0.15, b"b\n"))))
    assert [*pool.open(url)] == [b"a\n", b"b\n"]
    assert_rows(telemetry, new())
    sent = server.timeline.at("body_end") - server.timeline.at("head")
    assert_near(telemetry.phases()["reading"], sent)


@pytest.fixture(params=["before", "after"])
def traced(request: pytest.FixtureRequest, untouched: Telemetry) -> Iterator[Telemetry]:
    """OpenTelemetry's urllib3 instrumentation, installed before or after this package's."""

    def instrument_urllib3() -> None:
        URLLib3Instrumentor().instrument(
            tracer_provider=untouched.tracer_provider, meter_provider=untouched.meter_provider
        )

    if request.param == "before":
        instrument_urllib3()
    instrument(untouched, span_min_duration=0.0)
    if request.param == "after":
        instrument_urllib3()
    yield untouched
    URLLib3Instrumentor().uninstrument()
    GlueLLMInstrumentor().uninstrument()


def test_each_retry_is_a_request(pool, server, telemetry):
    """A reset, an end of file and an answer use three connections."""
    broken = (Failure.RESET_BEFORE_HEAD, Failure.EOF_BEFORE_HEAD)
    url = server.reply("/", *(Reply(failure=failure) for failure in broken), Reply())
    response = pool.open(url, retries=2, preload_content=True)
    assert response.data == b"ok"
    assert_rows(telemetry, failed("read_error"), failed("protocol_error"), new())
    assert telemetry.closed() == {"error": 2}


def test_back_off_between_retries_is_not_counted(pool, telemetry):
    """No request is in the pool between two attempts."""
    retries = urllib3.Retry(connect=2, backoff_factor=0.2)
    exchange = pool.send_with(refused_url(), retries=retries)
    exchange.failure()
    assert exchange.duration >= 0.4
    rows = [connect_failed("connection_error")] * 3
    assert_rows(telemetry, *rows)
    assert sum(telemetry.phases().values()) < LATENESS.beside(0.3)


@pytest.mark.parametrize("respected", [True, False])
def test_pause_for_retry_after_is_counted_as_far_as_urllib3_sleeps(
    pool, server, telemetry, respected
):
    """No request is in the pool meanwhile. The pause is reported while it lasts."""
    reply = Reply(status=503, headers=(("Retry-After", "3600"),))
    url = server.reply("/", reply, Reply())

    def pauses():
        totals = snapshot().account.total.values()
        return [sum(total.get((what,), 0) for total in totals) for what in ("pauses", "paused")]

    class OwnRetry(urllib3.Retry):
        """Wait less than the provider asks for."""

        def get_retry_after(self, response):
            if pauses()[0]:  # urllib3 calls this again during the pause
                held.append(seen.wait(60))
            return super().get_retry_after(response) and 0.5

    held: list[bool] = []
    seen, began = threading.Event(), time.monotonic()
    retries = OwnRetry(2, status_forcelist=[503], respect_retry_after_header=respected)
    options = {"retries": retries, "preload_content": True}
    sends = threading.Thread(target=pool.open, args=(url,), kwargs=options)
    sends.start()
    if respected:
        wait_until(lambda: pauses()[0] == 1)
        assert pauses()[1] < time.monotonic() - began
        seen.set()
    sends.join(60)
    assert held == [True] * respected
    assert_rows(telemetry, new(status=503), reused())
    number, paused = pauses()
    assert (number, 0.5 * number <= paused < 60) == (int(respected), True)


@pytest.mark.parametrize("preload", [True, False])
def test_followed_redirect_is_two_requests(runner, library, server, telemetry, preload):
    """Both for redirects that a manager follows and for those that a pool follows."""
    pool = runner.pool(library, follow_redirects=True)
    server.reply("/old", Reply(status=302, headers=(("Location", "/new"),)))
    response = pool.open(server.url("/old"), preload_content=preload)
    assert response.data == b"ok"
    with urllib3.HTTPConnectionPool("127.0.0.1", server.port) as single:
        assert single.urlopen("GET", "/old", preload_content=preload).data == b"ok"
    assert_rows(telemetry, new(status=302), reused(), new(status=302), reused())


def test_spans_nest_under_those_of_the_urllib3_instrumentation(runner, library, server, traced):
    """The spans of wait and set-up are its children, whichever was installed first."""
    pool = runner.pool(library, max_connections=1)
    holder = pool.open(server.url())
    waiter = pool.send(server.url("/waiter"), pool=30)
    wait_until(lambda: traced.current("queued") == 1)
    holder.read()
    holder.release_conn()
    waiter.finish()
    clients = [span for span in traced.spans() if span.kind is SpanKind.CLIENT]
    assert len(clients) == 2
    (setup,) = traced.spans("HTTP connection_setup")
    (wait,) = traced.spans("HTTP wait_for_connection")
    by_id = {span.get_span_context().span_id: span for span in clients}
    assert by_id[setup.parent.span_id] is not by_id[wait.parent.span_id]
    attributes = [dict(span.attributes or {}) for span in clients]
    assert sorted(a["gluellm.connection.reused"] for a in attributes) == [False, True]
    assert all("gluellm.pool.acquire.duration" in a for a in attributes)


def test_retried_failure_while_sending_is_reported_for_each_attempt(pool, listen, telemetry):
    """The last attempt has the exception's error type; earlier ones broke off while sending."""
    deaf = listen(DeafServer)
    retries = urllib3.Retry(1, allowed_methods=None)
    exchange = pool.send_with(
        deaf.url(), body=bytes(MORE_THAN_BUFFERS), timeouts={"write": 0.1}, retries=retries
    )
    exchange.failure()
    assert_rows(telemetry, failed("write_error"), failed("write_timeout"), closed={"error": 2})


@pytest.mark.parametrize("how", ["preloaded", "read", "not released"])
def test_vcrpy_replays_are_not_counted_as_requests(
    runner, library, server, telemetry, tmp_path, how
):
    """The recorded request counts; its replays are neither cancelled nor in flight."""
    vcr = pytest.importorskip("vcr", reason="vcrpy is not installed")
    url = server.url()
    cassette = str(tmp_path / "cassette.yaml")

    def ask() -> None:
        pool = runner.pool(library)
        response = pool.open(url, preload_content=how == "preloaded")
        assert (response.read() if how == "read" else response.data) == b"ok"

    with vcr.use_cassette(cassette):
        ask()
    assert_rows(telemetry, new())
    with vcr.use_cassette(cassette, allow_playback_repeats=True) as replayed:
        for _ in range(3):
            ask()
    assert replayed.play_count == 3
    gc.collect()
    assert telemetry.requests() == {(200, None): 1}
    telemetry.check(ACTIVE_REQUESTS=0, CONNECTION_OPENED=1)

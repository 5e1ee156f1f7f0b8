"""urllib3's own: bodies that are read for the application, and responses that nobody closes."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from typing import Any

import pytest
import urllib3

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clients import Runner
from support.http1 import HTTP1Server
from support.libraries import Library
from support.listener import Listen, Listener
from support.outcomes import assert_near, assert_phases, assert_rows, failed, new
from support.script import Failure, Reply
from support.telemetry import Telemetry
from support.waiting import wait_until

pytestmark = pytest.mark.modes("sync")


class NonsenseServer(Listener):
    """Answers any request with a chunk whose size is no number."""

    async def serve(
        self,
        number: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n")
        await reader.read()


def test_preloaded_body_is_reading(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """It is read within ``urlopen``: the head's delay is awaiting, the body's is reading."""
    pool: Any = runner.pool(library)
    url = server.reply("/", Reply(head_after=0.15, end_after=0.2))
    exchange = pool.send_with(url, preload_content=True)
    wait_until(lambda: telemetry.current("awaiting_response") == 1)
    wait_until(lambda: telemetry.current("reading") == 1)
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


@pytest.mark.parametrize(
    ("failure", "error"),
    [(Failure.RESET_IN_BODY, "read_error"), (Failure.EOF_IN_BODY, "protocol_error")],
)
def test_preloaded_body_that_breaks_off(
    runner: Runner,
    library: Library,
    server: HTTP1Server,
    telemetry: Telemetry,
    failure: Failure,
    error: str,
) -> None:
    """A head came, so there is a status beside the error."""
    pool: Any = runner.pool(library)
    with pytest.raises(library.raises(error)):
        pool.open(server.reply("/", Reply(failure=failure)), preload_content=True)
    assert_rows(telemetry, failed(error, status=200))
    assert telemetry.by(semconv.CONNECTION_CLOSED, "reason") == {"error": 1}
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0


def test_response_that_is_dropped(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """Its finalizer closes its connection: that ends the request."""
    pool: Any = runner.pool(library)
    response = pool.open(server.reply("/", Reply(end_after=server.gate())))
    assert telemetry.current("unread") == 1
    del response
    gc.collect()
    assert_rows(telemetry, new())
    assert telemetry.by(semconv.CONNECTION_CLOSED, "reason") == {"response_incomplete": 1}
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0
    assert telemetry.value(semconv.INSTRUMENTATION_ERRORS) == 0


@pytest.mark.parametrize(
    ("status", "reason"), [(200, "garbage_collected"), (204, "connection_close")]
)
@pytest.mark.skipif(urllib3.__version__.startswith("1."), reason="urllib3 1.26 releases it itself")
def test_response_that_is_dropped_without_a_release_and_with_nothing_to_read(
    runner: Runner,
    library: Library,
    server: HTTP1Server,
    telemetry: Telemetry,
    status: int,
    reason: str,
) -> None:
    """No finalizer closes what has ended: the connection goes with it, and so does the request.

    One without a body ends when it is read, which nobody does.
    """
    pool: Any = runner.pool(library)
    chunks = () if status == 204 else ((0.0, b"ok"),)
    url = server.reply("/", Reply(status=status, chunks=chunks))
    response = pool.open(url, release_conn=False, preload_content=status == 200)
    assert telemetry.current("unread") == 1
    del response
    gc.collect()
    assert_rows(telemetry, new(status=status))
    assert telemetry.by(semconv.CONNECTION_CLOSED, "reason") == {reason: 1}
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0
    assert telemetry.value(semconv.OPEN_CONNECTIONS) == 0


def test_drained_response_gives_its_connection_back(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """``drain_conn()`` reads what is left, which is reading."""
    pool: Any = runner.pool(library)
    gate = server.gate()
    response = pool.open(server.reply("/", Reply(end_after=gate)))
    thread = threading.Thread(target=response.drain_conn)
    thread.start()
    wait_until(lambda: telemetry.current("reading") == 1)
    gate.open()
    thread.join()
    assert_rows(telemetry, new())
    assert telemetry.value(semconv.OPEN_CONNECTIONS, state="idle") == 1


def test_chunk_that_makes_no_sense(
    runner: Runner, library: Library, listen: Listen, telemetry: Telemetry
) -> None:
    """The library closes the response in the middle of its read: a failure of the protocol."""
    server = listen(NonsenseServer)
    pool: Any = runner.pool(library)
    response = pool.open(server.url())
    with pytest.raises(library.raises("protocol_error")):
        b"".join(response.stream())
    assert_rows(telemetry, failed("protocol_error", status=200))
    assert telemetry.by(semconv.CONNECTION_CLOSED, "reason") == {"error": 1}
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0


def test_closed_by_another_thread_while_it_is_read(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """The read ends with whatever the library makes of it, and the request ends once."""
    pool: Any = runner.pool(library)
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
    thread.join(10)
    assert not thread.is_alive()
    assert failures
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0
    assert telemetry.value(semconv.REQUESTS) == 1
    assert telemetry.value(semconv.CONNECTION_CLOSED) == 1
    assert telemetry.value(semconv.INSTRUMENTATION_ERRORS) == 0


def test_reader_of_lines(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry
) -> None:
    """Line by line, as SDKs read event streams: the pause between two is the application's."""
    pool: Any = runner.pool(library)
    url = server.reply("/", Reply(chunks=((0.0, b"a\n"), (0.15, b"b\n"))))
    response = pool.open(url)
    lines = [*response]
    assert lines == [b"a\n", b"b\n"]
    assert_rows(telemetry, new())
    assert_near(telemetry.phases()["reading"], 0.15)

"""What the watch detects about peers that send nothing, for each library's sockets."""

import threading
from typing import Any

import pytest

from gluellm_diagnosis.findings import Kind, Severity
from opentelemetry.instrumentation.gluellm import diagnose, snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.watch import silent_peers
from support.http1 import HTTP1Server
from support.installation import installed
from support.telemetry import Telemetry
from support.waiting import PATIENCE, wait_until

pytestmark = [
    pytest.mark.usefixtures("quick_watch"),
    pytest.mark.skipif(not silent_peers.AVAILABLE, reason="TCP_INFO is Linux's"),
]


def check_soon() -> None:
    """Check peers sooner than ``peer_check_after`` allows, which is 1 s at least."""
    installed()._watch.silent_peers._after = 50_000_000


def peers() -> list[str | None]:
    """The states of the peers of all requests in flight."""
    return [request.peer for pool in snapshot().pools for request in pool.requests]


def silent(telemetry: Telemetry) -> dict[str, float]:
    """The metric, by state of the peer."""
    points = telemetry.points(semconv.CONNECTION_SILENT)
    return {point.attributes[semconv.PEER_STATE]: point.value for point in points}


def lost() -> list[Any]:
    """The findings on lost peers."""
    return [finding for finding in diagnose(snapshot()) if finding.kind is Kind.SILENT_CONNECTIONS]


@pytest.mark.modes("sync", "asyncio", "trio")
def test_peer_of_a_slow_response_is_not_reported_as_lost(pool, server, telemetry):
    """The peer is unknown before the head and within the body, and not reported as lost."""
    pool.get(server.url())
    assert silent(telemetry) == {}
    check_soon()
    exchange, gate = pool.stall(server)
    wait_until(lambda: peers() == ["unknown"])
    assert silent(telemetry) == {"unknown": 1}
    gate.open()
    exchange.finish()
    assert silent(telemetry) == {"unknown": 0}
    holder, gate = pool.hold(server)
    body = holder.begin_read()
    wait_until(lambda: peers() == ["unknown"])
    gate.open()
    body.result(60)
    assert not lost()
    ((origin,),) = (totals.origins for totals in snapshot().totals)
    assert origin.requests_lost_peer == 0
    assert origin.longest_silence_answered >= 0.05


@pytest.mark.modes("asyncio")
def test_peer_under_tls_is_read(runner, library, listen, certificates, telemetry):
    """TLS hides the socket behind an object of its own."""
    check_soon()
    server = listen(HTTP1Server, tls=certificates.server())
    pool = runner.pool(library, ssl_context=certificates.client())
    exchange, gate = pool.stall(server)
    wait_until(lambda: peers() == ["unknown"])
    gate.open()
    exchange.finish()


@pytest.mark.modes("asyncio")
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_end_of_the_connection_is_known_while_the_loop_is_blocked(
    runner, library, server, telemetry, reset
):
    """The client notices once its loop runs again."""
    check_soon()
    exchange, _ = runner.pool(library).stall(server)
    wait_until(lambda: peers() == ["unknown"])
    blocked, unblocked = threading.Event(), threading.Event()

    async def block() -> None:
        blocked.set()
        unblocked.wait(PATIENCE)

    blocking = runner.portal.start_task_soon(block)
    assert blocked.wait(PATIENCE)
    server.hang_up(reset=reset)
    state = "reset" if reset else "closed"
    try:
        wait_until(lambda: peers() == [state])
        assert silent(telemetry)[state] == 1
    finally:
        unblocked.set()
    blocking.result(PATIENCE)
    exchange.failure()
    wait_until(lambda: not peers())
    assert silent(telemetry)[state] == 0
    wait_until(lambda: [finding.severity for finding in lost()] == [Severity.WARNING])

"""Each library's sockets: what the watch finds out about peers that send nothing."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, diagnose, snapshot
from opentelemetry.instrumentation.gluellm.diagnosis.findings import Kind, Severity
from opentelemetry.instrumentation.gluellm.watch import silent_peers
from support.http1 import HTTP1Server
from support.waiting import PATIENCE, wait_until

pytestmark = [
    pytest.mark.usefixtures("quick_watch"),
    pytest.mark.skipif(not silent_peers.AVAILABLE, reason="TCP_INFO is Linux's"),
]


@pytest.fixture
def checked_soon(telemetry: Any) -> None:
    """Check peers sooner than ``peer_check_after`` allows, which is 1 s at least."""
    installation: Any = GlueLLMInstrumentor._installation
    installation._watch.silent_peers._after = 50_000_000


def peers() -> list[str | None]:
    """The states of the peers of all requests in flight."""
    return [request.peer for pool in snapshot().pools for request in pool.requests]


def lost() -> list[Any]:
    """The findings on lost peers."""
    return [finding for finding in diagnose(snapshot()) if finding.kind is Kind.SILENT_CONNECTIONS]


@pytest.mark.modes("sync", "asyncio", "trio")
def test_nothing_is_claimed_of_a_provider_that_thinks(pool, server, checked_soon):
    """Neither before the head nor within the body."""
    exchange, gate = pool.stall(server)
    wait_until(lambda: peers() == ["unknown"])
    gate.open()
    exchange.finish()
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
def test_peer_under_tls_is_read(runner, library, listen, certificates, checked_soon):
    """TLS hides the socket behind an object of its own."""
    server = listen(HTTP1Server, tls=certificates.server())
    pool = runner.pool(library, ssl_context=certificates.client())
    exchange, gate = pool.stall(server)
    wait_until(lambda: peers() == ["unknown"])
    gate.open()
    exchange.finish()


@pytest.mark.modes("asyncio")
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_end_of_the_connection_is_known_while_the_loop_is_blocked(
    runner, library, server, checked_soon, reset
):
    """The client notices once its loop runs again."""
    exchange, _ = runner.pool(library).stall(server)
    wait_until(lambda: peers() == ["unknown"])
    blocked, unblocked = threading.Event(), threading.Event()

    async def block() -> None:
        blocked.set()
        unblocked.wait(PATIENCE)

    blocking = runner.portal.start_task_soon(block)
    assert blocked.wait(PATIENCE)
    server.hang_up(reset=reset)
    try:
        wait_until(lambda: peers() == ["reset" if reset else "closed"])
    finally:
        unblocked.set()
    blocking.result(PATIENCE)
    exchange.failure()
    wait_until(lambda: not peers())
    wait_until(lambda: [finding.severity for finding in lost()] == [Severity.WARNING])

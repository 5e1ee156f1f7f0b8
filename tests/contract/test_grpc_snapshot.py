"""What a snapshot and a diagnosis say of gRPC's channels."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from opentelemetry.instrumentation.gluellm import diagnose, snapshot
from opentelemetry.instrumentation.gluellm.diagnosis.findings import Kind, Severity
from support.clients import Runner
from support.grpc_server import GrpcServer
from support.libraries import Library
from support.network import refused_url
from support.script import Reply
from support.telemetry import Telemetry
from support.waiting import wait_until


def test_snapshot_of_a_channel(
    runner: Runner, library: Library, server: GrpcServer, telemetry: Telemetry
) -> None:
    """Its state and its calls; and nothing of connections or limits."""
    gate = server.gate()
    pool = runner.pool(library)
    exchange = pool.send(server.reply("/", Reply(end_after=gate)))
    exchange.head()
    wait_until(lambda: telemetry.current("unread") == 1)
    taken = snapshot()
    (told,) = taken.pools
    assert (told.library, told.channel_state) == ("grpc", "ready")
    assert 0 <= (told.channel_state_age or 0) <= told.age
    assert told.connections == ()
    assert told.max_connections is None
    (request,) = told.requests
    assert request.phase == "unread"
    assert request.held is not None
    assert request.connection is None
    text = " ".join(str(taken).split())
    assert "grpc/grpc: channel ready for" in text
    assert "1 call under way, 0 queued" in text
    assert "unlimited" not in text
    json.dumps(taken.to_dict())
    gate.open()
    exchange.read()
    (totals,) = snapshot().totals
    assert totals.channel_seconds is not None
    assert totals.channel_seconds["ready"] > 0
    assert [(o.status, o.error) for o in totals.origins[0].outcomes] == [("OK", None)]
    assert "requests 1 x OK" in " ".join(str(snapshot()).split())


def test_healthy_channel_has_no_findings(
    runner: Runner, library: Library, server: GrpcServer, telemetry: Telemetry
) -> None:
    """It has no limit, and that is how gRPC works."""
    pool = runner.pool(library)
    for _ in range(5):
        pool.get(server.url())
    assert telemetry.current("unread") == 0
    assert diagnose(snapshot()) == []


def test_call_that_queues_for_a_channel_that_never_gets_ready(
    runner: Runner, library: Library, telemetry: Telemetry
) -> None:
    """The finding names the state, for how long, and how many wait."""
    pool: Any = runner.pool(library)
    exchange = pool.ask(refused_url(), pool=1.0)
    wait_until(lambda: snapshot().pools and snapshot().pools[0].channel_state != "idle")
    wait_until(lambda: snapshot().pools[0].channel_state == "transient_failure")
    taken = snapshot()
    assert telemetry.current("queued") == 1
    assert "queued" in str(taken)
    (late,) = taken.pools
    later = dataclasses.replace(late, channel_state_age=60.0)
    findings = diagnose(dataclasses.replace(taken, pools=(later,)))
    (found,) = [finding for finding in findings if finding.kind is Kind.CHANNEL_NOT_READY]
    assert found.severity is Severity.ERROR
    assert "transient_failure for 60 s" in found.seen
    exchange.failure()

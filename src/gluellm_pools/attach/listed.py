"""A snapshot of what the pools of a process list, without any history."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from typing import Any

from opentelemetry.instrumentation.gluellm import thresholds
from opentelemetry.instrumentation.gluellm.attribution.hosts import provider_for_host
from opentelemetry.instrumentation.gluellm.pool.ledger import OTHER, is_host
from opentelemetry.instrumentation.gluellm.snapshots.format import FORMAT
from opentelemetry.instrumentation.gluellm.snapshots.parts import ConnectionSnapshot, number_of
from opentelemetry.instrumentation.gluellm.snapshots.snapshot import Snapshot
from opentelemetry.instrumentation.gluellm.watch.silent_peers import TCP_INFO, peer_state

_UNREAD_AFTER = thresholds.LIKELY_LEAK_AFTER
_COPIED = (
    "library max_connections max_idle_connections max_connections_per_origin keepalive_expiry "
    "tcp_keepalive synchronous pool_timeout read_timeout"
).split()


def listed_snapshot(look: dict[str, Any], pid: int) -> Snapshot:
    """Return the snapshot of what the program in a process has found."""
    pools = [_pool(one) for one in look["pools"]]
    number = Counter((pool["name"], pool["provider"], pool["library"]) for pool in pools)
    totals = [
        {
            "name": name,
            "provider": provider,
            "library": library,
            "pools_opened": count,
            "pools_live": count,
            "pools_discarded": 0,
            "connections_opened": 0,
            "connections_closed": {},
            "requeues": 0,
            "peak_active": 0,
            "peak_queued": 0,
            "leaks": 0,
            "anomalies": {},
        }
        for (name, provider, library), count in number.items()
    ]
    process = {
        "pid": pid,
        "gluellm": "gluellm" in look["modules"],
        "any_llm": "any_llm" in look["modules"],
        "peer_check_after": 0.0,
    }
    return Snapshot.from_dict(
        {
            "format": FORMAT,
            "taken_at": time.time(),
            "uptime": 0.0,
            "leak_threshold": 0.0,
            "process": process,
            "pools": pools,
            "totals": totals,
        }
    )


def _pool(listed: dict[str, Any]) -> dict[str, Any]:
    connections = [one for one in listed["connections"] if one["state"] != "closed"]
    host = next((one["host"] for one in connections), "")
    provider = provider_for_host(host)
    return {
        **{name: listed[name] for name in _COPIED if name in listed},
        "name": provider or listed["library"],
        "provider": provider,
        "age": 0.0,
        "requests_entered": listed["in_flight"],
        "queued_before": listed["queued"],
        "connections": [_connection(one) for one in connections],
    }


def _connection(listed: dict[str, Any]) -> dict[str, Any]:
    tcp, host = listed["tcp"], listed["host"]
    port = listed["port"] or (443 if listed["secure"] else 80)
    silence, peer = None, None
    if tcp is not None and len(read := bytes.fromhex(tcp["info"])) >= TCP_INFO.size:
        info = TCP_INFO.unpack_from(read)
        silence, peer = info[7] / 1000, peer_state(info, keepalive=tcp["keepalive"])
    return {
        # A malformed host may be a key or a URL.
        "origin": f"{host}:{port}" if is_host(host.lower()) else OTHER,
        "state": listed["state"],
        "protocol": listed["protocol"],
        "age": 0.0,
        "requests_served": listed["requests_served"],
        "held_before": listed["held_before"],
        "silence": silence,
        "peer": peer,
    }


def with_unread(snapshot: Snapshot, readers: int) -> Snapshot:
    """Mark the connections whose answer is not read, if there are fewer readers than answers.

    ``readers`` is how many tasks and threads may wait for the next byte of an answer. Which
    answers they do not read is not known: those that are silent for longest.
    """
    readers -= number_of(
        request
        for pool in snapshot.pools
        for request in pool.requests
        if request.phase == "reading"
    )
    answers = [
        one for pool in snapshot.pools for one in pool.connections if one.held_before == "reading"
    ]
    answers.sort(key=lambda one: -(one.silence or 0.0))
    number = len(answers) - max(0, readers)
    unread = {id(one) for one in answers[: max(0, number)] if (one.silence or 0.0) >= _UNREAD_AFTER}

    def marked(one: ConnectionSnapshot) -> ConnectionSnapshot:
        return replace(one, held_before="unread") if id(one) in unread else one

    pools = tuple(
        replace(pool, connections=tuple(map(marked, pool.connections))) for pool in snapshot.pools
    )
    return replace(snapshot, pools=pools)

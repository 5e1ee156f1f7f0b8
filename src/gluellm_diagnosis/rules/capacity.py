"""Capacity: whether the system can provide what the limits of the pools allow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from opentelemetry.instrumentation.gluellm import thresholds
from opentelemetry.instrumentation.gluellm.snapshots.parts import PoolSnapshot, ProcessSnapshot
from opentelemetry.instrumentation.gluellm.text import counted, one_line, seconds

from ..case import ProcessCase
from ..findings import Finding, Kind
from ..severity import severity


class Check(NamedTuple):
    """One resource: what the limits of the pools allow, what there is, and what is in use."""

    text: str
    advice: str
    allowed: int
    available: int
    used: int = 0


def growth(case: ProcessCase) -> float:
    """Return how many more file descriptors are open each second.

    Without an earlier snapshot, only those of connections are known.
    """
    process, before = case.process, case.before
    if before is not None and before.process.open_descriptors is not None:
        more = (process.open_descriptors or 0) - before.process.open_descriptors
        return more / (case.snapshot.uptime - before.uptime)
    lately = [one.lately[0].activity for one in case.pools]
    more = sum(one.number("opened") - one.named("closed").total() for one in lately)
    return more / max((1.0, *(one.period for one in lately)))


def in_use(process: ProcessSnapshot, more: float) -> str:
    """Return text on file descriptors, of which so many ``more`` are open each second."""
    used, limit = process.open_descriptors or 0, process.descriptor_limit or 0
    text = f"{used} of {limit} file descriptors are in use"
    if more > 0 and (left := (limit - used) / more) <= thresholds.RUNS_OUT_IN:
        text += f", {more:.2g} more each second: none left in {seconds(left)}"
    return text


def checks(
    process: ProcessSnapshot, pools: Sequence[PoolSnapshot], workers: int = 1, more: float = 0.0
) -> Iterator[Check]:
    """Yield each check that is possible, for ``workers`` such processes on one host.

    Pools without a limit are left out: `unbounded_pool` reports them. Each second, so many ``more``
    descriptors are open.
    """
    each = " in each worker" if workers > 1 else ""
    limited = [(pool, pool.max_connections) for pool in pools if pool.max_connections]
    allowed = sum(most for _, most in limited)
    connections = sum(len(pool.connections) for pool in pools)
    limit = process.descriptor_limit
    if process.open_descriptors is not None and limit and allowed:
        others = max(process.open_descriptors - connections, 0)
        text = (
            f"{in_use(process, more)}, and the pools allow {counted(allowed, 'connection')}{each}"
        )
        advice = (
            "Keep one client for each provider, allow fewer connections, or raise the descriptor "
            "limit (ulimit -n; LimitNOFILE= in systemd, --ulimit nofile= in Docker)"
        )
        yield Check(text, advice, allowed, limit - others, connections)
    to_origin: Counter[str] = Counter()
    for pool, most in limited:
        each_origin = min(most, pool.max_connections_per_origin or most)
        to_origin.update(dict.fromkeys({c.origin for c in pool.connections}, each_origin))
    ports = process.local_ports
    if ports and to_origin:
        ((origin, most),) = to_origin.most_common(1)
        product = f"{workers} x {most} = " if workers > 1 else ""
        text = (
            f"local ports: the pools allow {product}{workers * most} connections to "
            f"{one_line(origin)}, and the host has {ports} ports per destination"
        )
        advice = (
            f"For the ports, allow at most {max(ports // workers, 1)} connections{each}, or widen "
            "net.ipv4.ip_local_port_range"
        )
        yield Check(text, advice, workers * most, ports, workers * connections)
    for pool, most in limited:
        streams = [c.streams_max for c in pool.connections if c.streams_max]
        if streams:
            text = (
                f"HTTP/2 streams: {one_line(pool.label)} sends at most {sum(streams)} requests at "
                f"once{each} on {counted(len(streams), 'connection')}, "
                f"although its limit of connections is {most}"
            )
            advice = "Use HTTP/1.1 (http2=False) or several clients for more requests at once"
            # `http2_stuck` reports requests that wait.
            yield Check(text, advice, most, sum(streams))


def capacity(
    process: ProcessSnapshot, pools: Sequence[PoolSnapshot], workers: int = 1, more: float = 0.0
) -> Finding | None:
    """Detect limits that the system cannot provide; a WARNING for workers, or if half is in use."""
    exceeded = [one for one in checks(process, pools, workers, more) if one.allowed > one.available]
    if not exceeded:
        return None
    near = any(one.used >= thresholds.CAPACITY_NEAR * one.available for one in exceeded)
    observed = "; ".join(one.text for one in exceeded)
    advice = ". ".join(one.advice for one in exceeded)
    return Finding(
        kind=Kind.CAPACITY,
        severity=severity(threatens=near or workers > 1),
        observed=f"{observed[0].upper()}{observed[1:]}.",
        explanation="Under more load, requests fail or wait before the pools are full.",
        advice=f"{advice}.",
    )

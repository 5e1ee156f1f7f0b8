"""Capacity: whether the system can provide what the pools' limits allow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ... import thresholds
from ...text import counted, one_line
from ..findings import Finding, Kind, Severity
from ..parts import PoolSnapshot, ProcessSnapshot


@dataclass(frozen=True, slots=True)
class Check:
    """One resource that connections or requests need."""

    text: str
    allowed: int
    """What the limits of the pools allow."""
    available: int
    used: int
    advice: str

    @property
    def fits(self) -> bool:
        return self.allowed <= self.available

    @property
    def near(self) -> bool:
        """Whether half of what is available is in use."""
        return self.used >= thresholds.CAPACITY_NEAR * self.available


def checks(
    process: ProcessSnapshot, pools: Sequence[PoolSnapshot], workers: int = 1
) -> Iterator[Check]:
    """Yield each check that is possible, for ``workers`` such processes on one host.

    Pools without a limit are left out: `unbounded_pool` reports them.
    """
    each = " in each worker" if workers > 1 else ""
    allowed = sum(pool.max_connections or 0 for pool in pools)
    connections = sum(len(pool.connections) for pool in pools)
    used, limit = process.open_descriptors, process.descriptor_limit
    if used is not None and limit and allowed:
        others = max(used - connections, 0)
        yield Check(
            f"file descriptors: the pools allow {counted(allowed, 'connection')}{each}, and "
            f"{limit - others} of {limit} descriptors are left for them",
            allowed,
            limit - others,
            connections,
            f"raise the limit to {others + allowed} or more (ulimit -n; LimitNOFILE= in systemd, "
            "--ulimit nofile= in Docker), or allow fewer connections",
        )
    to_origin: Counter[str] = Counter()
    open_to: Counter[str] = Counter()
    for pool in pools:
        open_to.update(connection.origin for connection in pool.connections)
        for origin in {connection.origin for connection in pool.connections}:
            to_origin[origin] += workers * (pool.max_connections or 0)
    ports = process.local_ports
    if ports and to_origin.total():
        ((origin, most),) = to_origin.most_common(1)
        times = f"{workers} x {most // workers} = {most}" if workers > 1 else str(most)
        yield Check(
            f"local ports: the pools allow {times} connections to {one_line(origin)}, and the host "
            f"has {ports} ports per destination",
            most,
            ports,
            workers * open_to[origin],
            f"allow at most {max(ports // workers, 1)} connections{each}, or widen "
            "net.ipv4.ip_local_port_range",
        )
    for pool in pools:
        streams = [c.streams_max for c in pool.connections if c.streams_max]
        most = sum(streams)
        if most and pool.max_connections:
            yield Check(
                f"HTTP/2 streams: {one_line(pool.label)} sends at most {most} requests at once"
                f"{each} on {counted(len(streams), 'connection')}, whatever its limit of "
                f"{pool.max_connections} connections is",
                pool.max_connections,
                most,
                0,  # `http2_stuck` reports requests that wait
                "use HTTP/1.1 (http2=False), or several clients, if more requests are in flight",
            )


def capacity(process: ProcessSnapshot, pools: Sequence[PoolSnapshot]) -> Finding | None:
    """Detect limits of pools that the system cannot provide; a WARNING once half is in use."""
    return finding_on([check for check in checks(process, pools) if not check.fits])


def finding_on(exceeded: Sequence[Check], severity: Severity = Severity.INFO) -> Finding | None:
    """Return the finding on these checks; a WARNING if one of them is near."""
    if not exceeded:
        return None
    near = any(check.near for check in exceeded)
    return Finding(
        kind=Kind.CAPACITY,
        severity=Severity.WARNING if near else severity,
        observed=f"{_sentence(check.text for check in exceeded)}.",
        explanation="The limits of the pools allow more than there is. Under more load, requests "
        "fail or wait before the pools are full.",
        advice=f"{_sentence(check.advice for check in exceeded)}.",
    )


def _sentence(parts: Iterable[str]) -> str:
    text = "; ".join(parts)
    return text[:1].upper() + text[1:]

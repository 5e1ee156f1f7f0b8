"""Snapshots and findings as text for a terminal of 80 to 100 columns."""

from __future__ import annotations

import re
import textwrap
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from ..text import call_site_text, counted, one_line, percent, seconds, timeout_text
from .findings import Finding
from .parts import ConnectionSnapshot, PoolSnapshot, PoolTotals, ProcessSnapshot, RequestSnapshot

_WIDTH = 96
_MOST_POOLS = 6
"""A client per call makes hundreds of similar pools, which would push the findings out of sight."""
_MOST_NAMES = 20
_MOST_ORIGINS = 5
_MOST_HOLDERS = 10
_MOST_QUEUED = 5
_LONGEST_PLACE = 80
_LONGEST_LIMITS = 400


def snapshot_text(
    taken_at: float,
    uptime: float,
    process: ProcessSnapshot,
    pools: Sequence[PoolSnapshot],
    totals: Sequence[PoolTotals],
) -> str:
    """Return a snapshot as readable text.

    The pools with the most requests come first, and in each pool the requests held longest. Long
    lists end with the number of entries left out. A long word may make a line wider than usual.
    """
    lines = _wrapped(
        f"connection pools of process {process.pid} at {_clock(taken_at)}, "
        f"{seconds(uptime)} after instrument()"
    )
    facts = []
    if process.event_loop_lag is not None:
        late = f"event loop late by up to {seconds(process.event_loop_lag)}"
        if process.event_loop_late_share:
            late += f", {percent(process.event_loop_late_share)} of the last minute"
        facts.append(late)
    if process.open_descriptors is not None:
        limit = f" of {process.descriptor_limit}" if process.descriptor_limit else ""
        facts.append(f"{process.open_descriptors}{limit} file descriptors open")
    for executor in process.executors:
        facts.append(
            f"{executor.requests} of {executor.threads} threads of an executor hold a connection, "
            f"{counted(executor.waiting, 'call')} waiting for one"
        )
    for limiter in process.limiters:
        if limiter.waiting:
            whose = f" for {one_line(limiter.provider)}" if limiter.provider else ""
            most = limiter.calls_per_minute
            limit = f" ({most} calls a minute)" if most is not None else ""
            facts.append(
                f"{counted(limiter.waiting, 'call')} waiting in GlueLLM's rate limiter{whose}"
                f"{limit}, the longest for {seconds(limiter.longest)}"
            )
    if process.gluellm:
        facts.append("GlueLLM is in use")
    if process.ignored_variables:
        names = ", ".join(one_line(name) for name in process.ignored_variables)
        facts.append(f"set but read by nothing: {names}")
    if process.missing_hooks:
        facts.append(f"hooks missing: {', '.join(process.missing_hooks)}")
    if facts:
        lines += _wrapped("; ".join(facts))
    if not pools:
        lines += ["", "no pool is alive that has served a request"]
    ordered = sorted(pools, key=lambda pool: -len(pool.requests))
    for pool in ordered[:_MOST_POOLS]:
        lines += ["", *_pool(pool)]
    lines += _rest(len(pools) - _MOST_POOLS, "pool", "")
    if totals:
        lines += ["", "since instrument(), by pool name"]
        for total in totals[:_MOST_NAMES]:
            lines += _totals(total)
        lines += _rest(len(totals) - _MOST_NAMES, "name", "  ")
    return "\n".join(lines)


def findings_text(findings: Sequence[Finding]) -> str:
    """Return the findings as text, each with its kind, observation, explanation and advice."""
    if not findings:
        return "no findings"
    blocks = []
    for finding in findings:
        where = f" in {one_line(finding.pool)}" if finding.pool else ""
        lines = [f"{finding.severity.upper()}: {finding.kind.replace('_', ' ')}{where}"]
        for name, text in (
            ("observed", finding.observed),
            ("explanation", finding.explanation),
            ("advice", finding.advice),
        ):
            lines += _wrapped(one_line(text, len(text)), f"  {name + ':':<13}", " " * 15)
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _pool(pool: PoolSnapshot) -> Iterator[str]:
    yield from _limits(pool) if pool.channel_state is None else _channel(pool)
    if pool.built_at:
        yield f"  built at {call_site_text(pool.built_at, _LONGEST_PLACE)}"
    yield from _connections(pool.connections)
    held = sorted((r for r in pool.requests if r.phase != "queued"), key=lambda r: -(r.held or 0))
    if held:
        yield "  longest held"
        for request in held[:_MOST_HOLDERS]:
            yield from _request(request)
        yield from _rest(len(held) - _MOST_HOLDERS, "request", "    ")
    queued = sorted((r for r in pool.requests if r.phase == "queued"), key=lambda r: -r.phase_age)
    if queued:
        yield "  longest queued"
        for request in queued[:_MOST_QUEUED]:
            yield from _request(request)
        yield from _rest(len(queued) - _MOST_QUEUED, "request", "    ")


def _channel(pool: PoolSnapshot) -> Iterator[str]:
    """Yield the lines of a gRPC channel, which reports no connections and has no limits."""
    since = seconds(pool.channel_state_age or 0.0)
    yield from _wrapped(
        f"{one_line(pool.label)}: channel {one_line(pool.channel_state or '')} for {since}; "
        f"{counted(len(pool.requests), 'call')} under way, {pool.queued} queued"
    )
    yield from _wrapped(f"{counted(pool.requests_entered, 'call')} in {seconds(pool.age)}", "  ")


def _limits(pool: PoolSnapshot) -> Iterator[str]:
    maximum = "unlimited" if pool.max_connections is None else str(pool.max_connections)
    idle = "all" if pool.max_idle_connections is None else str(pool.max_idle_connections)
    yield from _wrapped(
        f"{one_line(pool.label)}: {pool.active} active, {pool.connecting} connecting, "
        f"{pool.idle} idle of {maximum} connections; {pool.queued} queued"
    )
    if pool.max_connections_per_origin is not None:
        yield f"  at most {counted(pool.max_connections_per_origin, 'connection')} to each origin"
    if pool.limits_from:
        yield from _wrapped(f"limits from {one_line(pool.limits_from, _LONGEST_LIMITS)}", "  ")
    expiry = "for ever" if pool.keepalive_expiry is None else f"{pool.keepalive_expiry:g} s"
    keepalive = {True: ", SO_KEEPALIVE on", False: ", SO_KEEPALIVE off", None: ""}
    yield from _wrapped(
        f"keeps {idle} idle {expiry}, pool timeout {timeout_text(pool.pool_timeout)}, "
        f"read timeout {timeout_text(pool.read_timeout)}{keepalive[pool.tcp_keepalive]}; "
        f"{counted(pool.requests_entered, 'request')} in {seconds(pool.age)}",
        "  ",
    )


def _connections(connections: Sequence[ConnectionSnapshot]) -> Iterator[str]:
    """Yield one line per origin, since there may be a thousand connections."""
    origins: dict[str, list[ConnectionSnapshot]] = {}
    for connection in connections:
        origins.setdefault(connection.origin, []).append(connection)
    for origin, those in list(origins.items())[:_MOST_ORIGINS]:
        states = Counter(connection.state for connection in those)
        parts = [", ".join(f"{count} {one_line(state)}" for state, count in states.items())]
        parts.append(f"oldest {seconds(max(connection.age for connection in those))}")
        parts.append(counted(sum(c.requests_served for c in those), "request") + " served")
        streams = [connection for connection in those if connection.protocol == "2"]
        if streams:
            active = sum(connection.streams_active or 0 for connection in streams)
            most = sum(connection.streams_max or 0 for connection in streams)
            lost = sum(connection.streams_orphaned or 0 for connection in streams)
            parts.append(f"HTTP/2 streams {active} of {most}, {lost} orphaned")
        yield from _wrapped(f"{one_line(origin)}: {'; '.join(parts)}", "  ")
    yield from _rest(len(origins) - _MOST_ORIGINS, "origin", "  ")


def _request(request: RequestSnapshot) -> Iterator[str]:
    if request.phase == "queued":
        bound = f" of at most {request.pool_timeout:g} s" if request.pool_timeout else ""
        parts = [f"queued {seconds(request.phase_age)}{bound}"]
    else:
        held = f"held {seconds(request.held)}, " if request.held is not None else ""
        parts = [f"{held}{one_line(request.phase)} {seconds(request.phase_age)}"]
    if request.leak_suspected:
        parts.append("LEAK SUSPECTED")
    what = "/".join(one_line(part) for part in (request.provider, request.model) if part)
    parts += [
        part
        for part in (what, request.operation and one_line(request.operation, 20), request.origin)
        if part
    ]
    if request.trace_id:
        parts.append(f"trace {one_line(request.trace_id)}")
    if request.correlation_id:
        parts.append(f"correlation {one_line(request.correlation_id, 40)}")
    yield from _wrapped(", ".join(one_line(part) for part in parts), "    ")
    if request.call_site:
        yield f"      {call_site_text(request.call_site, _LONGEST_PLACE)}"
    for frame in request.stack:
        yield f"        {call_site_text(frame, _LONGEST_PLACE)}"


def _totals(totals: PoolTotals) -> Iterator[str]:
    outcomes: Counter[str] = Counter()
    phases: dict[str, float] = {}
    for origin in totals.origins:
        for outcome in origin.outcomes:
            outcomes[str(outcome.error or outcome.status or "_OTHER")] += outcome.count
        for phase, spent in origin.phase_seconds.items():
            phases[phase] = phases.get(phase, 0.0) + spent
    everything = sum(phases.values())
    shares = [
        f"{phase} {percent(spent / everything)}" for phase, spent in phases.items() if spent > 0
    ]
    parts = [f"pools {totals.pools_opened} opened, {totals.pools_live} alive"]
    if totals.channel_seconds is None:
        parts.append(
            f"connections {totals.connections_opened} opened"
            + _listed(", closed: ", totals.connections_closed)
        )
    else:
        spent = sum(totals.channel_seconds.values())
        states = [
            f"{one_line(state)} {percent(time / spent)}"
            for state, time in totals.channel_seconds.items()
            if time > 0
        ]
        parts.append("channels: " + (", ".join(states) or "none alive"))
    parts.append(
        "requests " + (", ".join(f"{n} x {one_line(name)}" for name, n in outcomes.items()) or "0")
    )
    by_provider: Counter[str] = Counter()
    for origin in totals.origins:
        by_provider[origin.provider or "unknown"] += origin.requests_entered
    if len(by_provider) > 1:
        parts.append("providers" + _listed(" ", by_provider))
    if shares:
        parts.append("time: " + ", ".join(shares))
    connections = f"{totals.peak_active} connections, " if totals.channel_seconds is None else ""
    parts.append(f"peaks {connections}{totals.peak_queued} queued")
    for name, number in (("requeues", totals.requeues), ("leaks", totals.leaks)):
        if number:
            parts.append(f"{name} {number}")
    if any(totals.anomalies.values()):
        parts.append("anomalies" + _listed(" ", totals.anomalies))
    broken = sum(origin.reuse_failures for origin in totals.origins)
    if broken:
        parts.append(f"failed on reused connections {broken}")
    yield from _wrapped(f"{one_line(totals.label)}: {'; '.join(parts)}", "  ")


def _listed(before: str, counts: Mapping[str, int]) -> str:
    shown = [f"{one_line(name)} {count}" for name, count in counts.items() if count]
    return before + ", ".join(shown) if shown else ""


def _rest(number: int, noun: str, indent: str) -> list[str]:
    return [f"{indent}and {counted(number, f'more {noun}')}"] if number > 0 else []


def _clock(epoch: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(epoch))
    except (ValueError, OverflowError, OSError):
        return "an unknown time"


def _wrapped(text: str, indent: str = "", following: str | None = None) -> list[str]:
    # Keeps a number and its unit on one line.
    bound = re.sub(r"(?<=\d) (?=s\b)", "\N{NO-BREAK SPACE}", text)
    lines = textwrap.wrap(
        bound,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + "  " if following is None else following,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]

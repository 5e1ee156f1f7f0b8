"""Snapshots as text for a terminal of 80 to 100 columns."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from .. import thresholds
from ..text import (
    call_site_text,
    counted,
    one_line,
    percent,
    period_text,
    seconds,
    timeout_text,
    with_outcome,
    wrapped,
)
from ..vocabulary import SENDING
from . import parts
from .windows import Windows, named

EntryT = TypeVar("EntryT")
_MOST = 6
"""Pools, providers and errors. A client per call makes hundreds of similar pools, which would push
the findings out of sight."""
_MOST_NAMES = 20
_MOST_ORIGINS = 5
_MOST_HOLDERS = 10
_MOST_QUEUED = 5
_LONGEST_CALL_SITE = 80
_LONGEST_LIMITS = 400
_QUIET = 60.0
"""Seconds without a request that the text mentions. The calls may have stopped."""


def snapshot_text(
    taken_at: float,
    uptime: float,
    process: parts.ProcessSnapshot,
    pools: Sequence[parts.PoolSnapshot],
    totals: Sequence[parts.PoolTotals],
    compared: Windows,
    *,
    quiet_for: float = 0.0,
) -> str:
    """Return a snapshot as readable text.

    Calls come first, then the pools: those with the most requests first, and in each pool the
    requests held longest. Long lists end with the number of entries left out. A long word may make
    a line wider than usual.
    """
    calls = sorted(process.calls, key=lambda calls: (-calls.silent, -calls.in_flight))
    what = "LLM calls and pools" if calls else "connection pools"
    at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(taken_at))
    since = f", {seconds(uptime)} after instrumentation" if uptime else ", without any history"
    lines = wrapped(f"{what} of process {process.pid} at {at}{since}")
    if calls:
        lines += _first(calls, _MOST, lambda each: _calls(each, totals, compared), "provider", "")
        lines.append("")
    quiet = [f"nothing in flight for {seconds(quiet_for)}"] if quiet_for > _QUIET else []
    lines += wrapped("; ".join([*quiet, *_process(process)]))
    if not pools:
        lines += ["", "no pool with observed requests is alive"]
    ordered = sorted(pools, key=lambda pool: -pool.in_flight)
    lines += _first(ordered, _MOST, _pool, "pool", "")
    if totals and uptime:
        lines += ["", "since instrumentation, by pool name"]
        lines += _first(totals, _MOST_NAMES, _totals, "name", "  ")
    return "\n".join(lines)


def _calls(
    calls: parts.CallsSnapshot, totals: Sequence[parts.PoolTotals], compared: Windows
) -> Iterator[str]:
    yield ""
    provider = one_line(calls.provider or "an unknown provider")
    yield f"calls to {provider} ({one_line(calls.source)})"
    now = (
        f"{count} {one_line(stage)} (oldest {seconds(calls.oldest.get(stage, 0.0))})"
        for stage, count in calls.now.items()
        if count
    )
    phases: Counter[str] = Counter()
    for origin in (origin for total in totals for origin in total.origins):
        if origin.provider == calls.provider:
            phases.update(origin.phase_seconds)
    time = sum(calls.stage_seconds.values()) / max(calls.in_flight + calls.ended, 1)
    silence = calls.oldest_silence or 0.0
    silent = str(calls.silent) if calls.silent or silence >= thresholds.LONG_ANSWER else ""
    if silent and silence:
        silent += f"; longest wait for the next item of a stream: {seconds(silence)}"
    errors = Counter(calls.errors).most_common()
    failures = [with_outcome(count, error) for error, count in errors[:_MOST]]
    if len(errors) > _MOST:
        failures.append(f"and {counted(len(errors) - _MOST, 'more error')}")
    unseen = f"{calls.unseen} with a request that no observed pool shows" if calls.unseen else ""
    rows = {
        "in flight": f"{calls.in_flight or 'none'}{_after(': ', ', '.join(now))}"
        f"{_after('; ', unseen)}",
        "silent": silent,
        "ended": f"{calls.ended or 'none'}{_after(': ', _listed(calls.outcomes))}",
        "errors": ", ".join(failures),
        "retries": str(calls.retries or ""),
        "lately": _lately(calls, compared),
        "time": f"{seconds(time)} per call: {_shares(calls.stage_seconds)}",
        "of requesting": _shares(phases),
    }
    for label, text in rows.items():
        if text:
            yield from wrapped(text, f"  {label:<15}", " " * 17)


def _lately(calls: parts.CallsSnapshot, compared: Windows) -> str:
    """Return text on the last minutes and the time before; empty if there is nothing before."""
    if compared.before is None:
        return ""
    texts = []
    for window, when in ((compared.recent, "in the last"), (compared.before, "earlier, in")):
        items = window.of_calls(calls.provider, calls.source)
        outcomes = named(items, "outcome")
        ended, failed = int(outcomes.total()), int(outcomes["failed"])
        spent = named(items, "stage").total()
        each = f", {seconds(spent / ended)} each" if ended else ""
        texts.append(f"{when} {period_text(window.period)} {ended} ended, {failed} failed{each}")
    return "; ".join(texts)


def _process(process: parts.ProcessSnapshot) -> Iterator[str]:
    if process.event_loop_lag:  # 0 without an event loop as well
        loop = "hub of greenlets" if process.greenlets else "event loop"
        late = f"{loop} late by up to {seconds(process.event_loop_lag)}"
        if process.event_loop_late_share:
            late += f", for {percent(process.event_loop_late_share)} of the last minute"
        causes = process.event_loop_late_causes.items()
        by_cause = ", ".join(f"{cause.replace('_', ' ')} {seconds(time)}" for cause, time in causes)
        yield f"{late} (causes: {by_cause})" if by_cause else late
    if process.open_descriptors is not None:
        limit = f" of {process.descriptor_limit}" if process.descriptor_limit else ""
        yield f"{process.open_descriptors}{limit} file descriptors open"
    for executor in process.executors:
        yield (
            f"{executor.requests} of an executor's {executor.threads} threads are in a request, "
            f"{counted(executor.waiting, 'call')} waiting for a thread"
        )
    for calls in process.calls:
        if calls.waiting:
            whose = f" for {one_line(calls.provider)}" if calls.provider else ""
            most = process.calls_per_minute
            limit = f" ({most} calls a minute)" if most is not None else ""
            yield (
                f"{counted(calls.waiting, 'call')} waiting in GlueLLM's rate limiter{whose}"
                f"{limit}, the longest for {seconds(calls.oldest['limited'])}"
            )
    if process.peer_check_after is None:
        yield "check of silent connections: not available here"
    if process.gluellm:
        yield "GlueLLM is in use"
    if process.ignored_variables:
        yield "set but not read: " + ", ".join(map(one_line, process.ignored_variables))
    if process.libraries_observed:
        yield f"observed libraries: {', '.join(process.libraries_observed)}"
    if process.libraries_unobserved:
        yield f"imported, but not observed: {', '.join(process.libraries_unobserved)}"
    if process.missing_hooks:
        yield f"hooks missing: {', '.join(process.missing_hooks)}"


def _pool(pool: parts.PoolSnapshot) -> Iterator[str]:
    yield ""
    yield from _limits(pool) if pool.channel_state is None else _channel(pool)
    if pool.built_at:
        yield f"  built at {call_site_text(pool.built_at, _LONGEST_CALL_SITE)}"
    origins: dict[str, list[parts.ConnectionSnapshot]] = {}
    for connection in pool.connections:
        origins.setdefault(connection.origin, []).append(connection)
    yield from _first(list(origins.values()), _MOST_ORIGINS, _connections, "origin", "  ")
    held = sorted((r for r in pool.requests if r.phase != "queued"), key=lambda r: -(r.held or 0))
    queued = sorted((r for r in pool.requests if r.phase == "queued"), key=lambda r: -r.phase_age)
    for which, requests, most in (("held", held, _MOST_HOLDERS), ("queued", queued, _MOST_QUEUED)):
        if requests:
            yield f"  longest {which}"
            listed = [request for request in requests if request.number == 1]
            number = parts.number_of(requests)
            yield from _first(listed, most, _request, "request", "    ", number)


def _channel(pool: parts.PoolSnapshot) -> Iterator[str]:
    """Yield the lines of a gRPC channel, which reports no connections and has no limits."""
    since = seconds(pool.channel_state_age or 0.0)
    yield from wrapped(
        f"{one_line(pool.label)}: channel {one_line(pool.channel_state or '')} for {since}; "
        f"{counted(pool.in_flight, 'call')} in flight, {pool.queued} queued"
    )
    calls = counted(pool.requests_entered, "call")
    yield from wrapped(f"{calls}, the first {seconds(pool.age)} ago", "  ")


def _limits(pool: parts.PoolSnapshot) -> Iterator[str]:
    maximum = "unlimited" if pool.max_connections is None else str(pool.max_connections)
    idle = "all" if pool.max_idle_connections is None else str(pool.max_idle_connections)
    yield from wrapped(
        f"{one_line(pool.label)}: {pool.active} active, {pool.connecting} connecting, "
        f"{pool.idle} idle of {maximum} connections; {pool.queued + pool.queued_before} queued"
    )
    if pool.max_connections_per_origin is not None:
        yield f"  at most {counted(pool.max_connections_per_origin, 'connection')} to each origin"
    if pool.limits_from:
        yield from wrapped(f"limits from {one_line(pool.limits_from, _LONGEST_LIMITS)}", "  ")
    kept = pool.keepalive_expiry
    expiry = "for ever" if kept is None else f"for {timeout_text(kept)}"
    requests = f"; {counted(pool.requests_entered, 'request')}, the first {seconds(pool.age)} ago"
    keepalive = {True: ", SO_KEEPALIVE on", False: ", SO_KEEPALIVE off", None: ""}
    yield from wrapped(
        f"keeps {idle} idle {expiry}, pool timeout {timeout_text(pool.pool_timeout)}, "
        f"read timeout {timeout_text(pool.read_timeout)}{keepalive[pool.tcp_keepalive]}"
        f"{requests if pool.age and pool.requests_entered else ''}",
        "  ",
    )


def _connections(connections: Sequence[parts.ConnectionSnapshot]) -> Iterator[str]:
    """Yield one line on the connections to an origin, since there may be a thousand."""
    states = Counter(connection.state for connection in connections)
    text = ", ".join(f"{count} {one_line(state)}" for state, count in states.items())
    known = (one.age for one in connections if one.held_before is None)
    oldest = max(known, default=0.0)
    served = sum(connection.requests_served for connection in connections)
    text += f"; oldest begun {seconds(oldest)} ago" if oldest else ""
    before = [connection for connection in connections if connection.held_before is not None]
    # Requests that were answered before the observation are unknown.
    text += f"; these answered {counted(served, 'request')}" if served and not before else ""
    streams = [connection for connection in connections if connection.protocol == "2"]
    if streams:
        active = sum(connection.streams_active or 0 for connection in streams)
        most = sum(connection.streams_max or 0 for connection in streams)
        lost = sum(connection.streams_orphaned or 0 for connection in streams)
        text += f"; HTTP/2 streams {active} of {most}, {lost} orphaned"
    yield from wrapped(f"{one_line(connections[0].origin)}: {text}", "  ")
    if before:
        held = Counter(connection.held_before or "phase unknown" for connection in before)
        silent = [one.silence for one in before if one.silence is not None]
        text = f"{len(before)} held since before the observation: {_listed(held)}"
        text += f"; no byte for up to {seconds(max(silent))}" if silent else ""
        yield from wrapped(text, "    ")


def _request(request: parts.RequestSnapshot) -> Iterator[str]:
    if request.phase == "queued":
        limit = request.pool_timeout
        bound = f", pool timeout {timeout_text(limit)}" if limit else ""
        if limit and request.phase_age > limit + thresholds.OVERRUN_GRACE:
            bound += " (exceeded: a requeue restarted the timeout, or a thread is late)"
        text = f"queued {seconds(request.phase_age)}{bound}"
    else:
        held = f"held {seconds(request.held)}, " if request.held is not None else ""
        text = f"{held}{one_line(request.phase)} for {seconds(request.phase_age)}"
    if request.leak_suspected:
        text += ", LEAK SUSPECTED"
    if request.lost_peer:
        text += f", {request.lost_peer}"
    if request.peer == SENDING:
        text += ", still being sent"
    whose = "/".join(one_line(part) for part in (request.provider, request.model) if part)
    for part in (whose, one_line(request.operation or "", 20), one_line(request.origin)):
        text += f", {part}" if part else ""
    if request.trace_id:
        text += f", trace {one_line(request.trace_id)}"
    if request.correlation_id:
        text += f", correlation {one_line(request.correlation_id, 40)}"
    yield from wrapped(text, "    ")
    if request.call_site:
        yield f"      {call_site_text(request.call_site, _LONGEST_CALL_SITE)}"
    for frame in request.stack:
        yield f"        {call_site_text(frame, _LONGEST_CALL_SITE)}"


def _totals(totals: parts.PoolTotals) -> Iterator[str]:
    outcomes: Counter[str] = Counter()
    phases: Counter[str] = Counter()
    providers: Counter[str] = Counter()
    for origin in totals.origins:
        for outcome in origin.outcomes:
            outcomes[str(outcome.error or outcome.status or "_OTHER")] += outcome.count
        phases.update(origin.phase_seconds)
        providers[origin.provider or "unknown"] += origin.requests_entered
    channels = totals.channel_seconds
    texts = [f"pools {totals.pools_opened} opened, {totals.pools_live} alive"]
    if channels is None:
        closed = _after(", closed by reason: ", _listed(totals.connections_closed))
        texts.append(f"connections {totals.connections_opened} opened{closed}")
    else:
        texts.append("channels: " + (_shares(channels) or "none alive"))
    ended = ", ".join(with_outcome(count, name) for name, count in outcomes.items())
    texts.append(f"requests {ended or 'ended 0'}")
    if len(providers) > 1:
        texts.append(f"providers {_listed(providers)}")
    texts.append(_after("time: ", _shares(phases)))
    connections = f"{totals.peak_active} connections, " if channels is None else ""
    texts.append(f"peaks {connections}{totals.peak_queued} queued")
    broken = sum(origin.reuse_failures for origin in totals.origins)
    answered = max((origin.longest_silence_answered for origin in totals.origins), default=0.0)
    texts.append(f"longest wait that ended with bytes {seconds(answered)}" if answered else "")
    counts = {
        "requeues of requests (connection taken or closed):": totals.requeues,
        "leaks": totals.leaks,
        "anomalies": _listed(totals.anomalies),
        "failed on reused connections": broken,
    }
    texts += [f"{name} {count}" for name, count in counts.items() if count]
    yield from wrapped(f"{one_line(totals.label)}: {'; '.join(filter(None, texts))}", "  ")


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{one_line(name)} {count}" for name, count in counts.items() if count)


def _shares(times: Mapping[str, float]) -> str:
    largest = (+Counter(times)).most_common()
    everything = sum(time for _, time in largest)
    return ", ".join(f"{one_line(name)} {percent(time / everything)}" for name, time in largest)


def _after(start: str, text: str) -> str:
    return start + text if text else ""


def _first(
    entries: Sequence[EntryT],
    most: int,
    lines: Callable[[EntryT], Iterable[str]],
    noun: str,
    indent: str,
    number: int = 0,
) -> Iterator[str]:
    """Yield the lines on the first entries, and how many others there are, of ``number`` in all."""
    for entry in entries[:most]:
        yield from lines(entry)
    others = (number or len(entries)) - len(entries[:most])
    if others:
        yield f"{indent}and {counted(others, f'more {noun}')}"

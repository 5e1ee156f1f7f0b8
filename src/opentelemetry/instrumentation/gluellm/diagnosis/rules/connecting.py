"""Rules: connections that are opened too often, cannot be established, or break."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, replace

from ...pool.phases import WEBSOCKET
from ...text import call_site_text, counted, percent, seconds
from ...thresholds import (
    CONNECT_FAILURE_SHARE,
    CONNECT_FAILURES,
    CONNECTING_COSTS,
    CONNECTING_HURTS,
    EXPIRED_CONNECTIONS,
    EXPIRED_SHARE,
    FAILURES_SEVERE,
    MOST_FAIL,
    REUSE_FAILURE_SHARE,
    REUSE_FAILURES,
    SILENT_CONNECTION,
)
from ...thresholds import churns as are_churned
from ..advice.own_clients import server_words
from ..findings import Finding, Kind, Severity
from ..intervals import Activity, PoolCase
from .advising import advisor

_OTHER_ORIGINS = "_OTHER"
"""Name in the telemetry contract for all origins beyond ``max_origins`` together."""
_AT_ONCE = ("too_many_open_files", "no_local_ports")
"""Errors that the network never causes: one is enough for a finding."""

_CONNECT_HELP = {
    "connect_timeout": (
        "no answer in time: the host is down or overloaded, or a firewall drops the packets",
        "check the address and the way there; the connect timeout is seldom too short",
    ),
    "name_resolution_error": (
        "the host name does not resolve",
        "check {address} for a typing error, and the resolver of this machine or container",
    ),
    "connection_error": (
        "the connection is refused or reset: nothing listens there, or a proxy turns it away",
        "check {address}, the port and {proxy}, and that the server runs",
    ),
    "secure_connection_error": (
        "TLS fails: a certificate that does not verify, or no TLS on that port",
        "check {encryption}, and {certificates} where a proxy signs",
    ),
    "too_many_open_files": (
        "the process has no file descriptor left",
        "keep one client instead of one per call, and raise ulimit -n",
    ),
    "no_local_ports": (
        "this machine has no local port left towards that address",
        "reuse connections: keep one client, and keep idle connections for longer",
    ),
}


def churns(activity: Activity | None) -> bool:
    """Return whether clients are built and thrown away after a request or two."""
    return _churned(activity) is not None


def _churned(activity: Activity | None) -> tuple[int, int, Counter[str]] | None:
    """Return pools and requests of the origins whose clients are built and thrown away.

    Also returns how many of these pools each known call site built. None if no origin churns.

    Counted by origin, since one pool for each of ten hosts is no churn. Kept pools are excluded,
    since one busy client would hide any number of calls that build their own.
    """
    if activity is None:
        return None
    churned = [
        (pools, requests, activity.built_at.get(origin, {}))
        for origin, (pools, requests) in activity.origins.items()
        if are_churned(pools, requests) and origin != _OTHER_ORIGINS
    ]
    if not churned:
        return None
    built_at: Counter[str] = Counter()
    for _, _, sites in churned:
        built_at.update(sites)
    return sum(pools for pools, *_ in churned), sum(count for _, count, _ in churned), built_at


def client_churn(case: PoolCase) -> Finding | None:
    """Detect that each call builds a client, and with it a pool."""
    churned = _churned(case.activity)
    if churned is None:
        return None
    pools, requests, built_at = churned
    activity = case.activity
    calls = activity.entered - activity.resent
    # Where one any-llm call needs several pools (lmstudio), a kept client does not save those.
    each = f" of {counted(calls, 'call')}" if activity.resent else ""
    over = " over WebSocket" if WEBSOCKET in activity.protocols else ""
    advice = replace(advisor(case), synchronous=case.builds_synchronous)
    if any(built_at.values()):
        # GlueLLM builds its clients before it calls any-llm, so their call site is unknown.
        advice = replace(advice, gluellm=False)
    what, until = "call", "they are garbage-collected"
    if advice.may_be_gluellms:
        what, until = "event loop", "gluellm.close_providers() closes them"
    return Finding(
        kind=Kind.CLIENT_CHURN,
        severity=Severity.WARNING,
        pool=case.label,
        observed=f"{pools} pools opened for {counted(requests, 'request')}{each} "
        f"({requests / pools:.1f} per pool), with "
        f"{counted(activity.connections_opened, 'new connection')}{over}"
        f"{_built_at(built_at, pools)}.",
        explanation=f"A client is built for each {what}. Hardly any connection is reused: calls "
        "pay for "
        f"TCP and TLS again and again, and the connections stay open until {until}.",
        advice=f"{advice.keep_instance()}.",
    )


def _built_at(sites: Counter[str], pools: int) -> str:
    """Return text on the call site that built the most pools; empty if none is known."""
    if not any(sites.values()):
        return ""
    ((site, count),) = sites.most_common(1)
    number = "" if count >= pools else f"{count} of them "
    return f", {number}built at {call_site_text(site)}"


def connect_failures(case: PoolCase, *, loop_is_blocked: bool) -> Finding | None:
    """Detect connections that could not be established, by reason."""
    activity = case.activity
    failures = activity.connect_failures
    if loop_is_blocked:
        failures.pop("connect_timeout", None)  # a blocked loop lets them expire
    count = sum(failures.values())
    if not count:
        return None
    share = count / max(activity.left, count)
    usual = count >= CONNECT_FAILURES and share >= CONNECT_FAILURE_SHARE
    if not (usual or share >= MOST_FAIL or any(kind in failures for kind in _AT_ONCE)):
        return None
    kinds = ", ".join(f"{kind} {number}" for kind, number in failures.items())
    return Finding(
        kind=Kind.CONNECT_FAILURES,
        severity=Severity.ERROR if share >= FAILURES_SEVERE else Severity.WARNING,
        pool=case.label,
        observed=f"{count} of {counted(max(activity.left, count), 'request')} ({percent(share)}) "
        "got "
        f"no connection: {kinds}.",
        explanation=_each_kind(failures, 0),
        advice=_each_kind(failures, 1).format(**asdict(server_words(case.provider, case.library))),
    )


def server_is_gone(case: PoolCase) -> bool:
    """Return whether most requests cannot connect."""
    failed = sum(case.activity.connect_failures.values())
    return failed >= MOST_FAIL * max(1, case.activity.left)


def _each_kind(failures: dict[str, int], part: int) -> str:
    return "; ".join(f"{kind}: {_CONNECT_HELP[kind][part]}" for kind in failures) + "."


def reuse_failures(case: PoolCase) -> Finding | None:
    """Detect requests that failed on a reused connection."""
    activity = case.activity
    count = activity.reuse_failures
    share = count / max(activity.left, count, 1)
    if count < REUSE_FAILURES or share < REUSE_FAILURE_SHARE:
        return None
    advice = advisor(case)
    silence = case.longest_silence_failed
    silent = silence > SILENT_CONNECTION
    unprobed = any(pool.tcp_keepalive is False for pool in case.pools)
    expiry = max((pool.keepalive_expiry or 0 for pool in case.pools), default=0)
    seen = (
        f"{count} of {counted(max(activity.left, count), 'request')} ({percent(share)}) failed on "
        f"a reused connection before an answer came"
    )
    if silent:
        seen += f", after up to {seconds(silence)} of silence"
    if unprobed:
        seen += "; SO_KEEPALIVE is off"
    means = (
        "Something between here and the provider, a load balancer or an address translator, drops "
        "connections on which nothing moves. "
    )
    if silent:
        means += "A model that thinks for minutes without a byte looks idle to it" + (
            ", and without SO_KEEPALIVE nothing tells it otherwise." if unprobed else "."
        )
    else:
        means += "The pool reuses a connection that the other side has given up."
    steps = []
    if unprobed:
        steps.append(f"Switch SO_KEEPALIVE on: {advice.probe_idle(case.maximum)}")
    if not silent:
        now = f" (now {expiry:g} s)" if expiry else ""
        steps.append(
            f"Keep idle connections for less long than the load balancer does{now}: "
            f"{advice.keep_idle(3, case.maximum)}"
        )
    steps = steps or ["Stream the answers, so that bytes flow, and let the SDK retry"]
    return Finding(
        kind=Kind.REUSE_FAILURES,
        severity=Severity.ERROR if share >= FAILURES_SEVERE else Severity.WARNING,
        pool=case.label,
        observed=seen + ".",
        explanation=means,
        advice=". ".join(steps) + ".",
    )


def keepalive_too_short(case: PoolCase) -> Finding | None:
    """Detect idle connections that expire before the next request."""
    activity = case.activity
    opened = activity.connections_opened
    expired = activity.connections_closed.get("keepalive_expired", 0)
    if opened < EXPIRED_CONNECTIONS or expired < EXPIRED_SHARE * opened:
        return None
    spent, connecting = activity.time(), activity.connecting_time
    if spent <= 0 or connecting < CONNECTING_COSTS * spent:
        return None
    expiry = max((pool.keepalive_expiry or 0 for pool in case.pools), default=0)
    kept = f"after {expiry:g} s idle" if expiry else "while idle"
    paid, requests = activity.on_new_connection, activity.entered
    longer = max(60, 2 * round(expiry))
    return Finding(
        kind=Kind.KEEPALIVE_TOO_SHORT,
        severity=Severity.WARNING if connecting >= CONNECTING_HURTS * spent else Severity.INFO,
        pool=case.label,
        observed=f"{paid} of {counted(requests, 'request')} "
        f"({percent(min(paid / max(requests, 1), 1.0))}) waited for a new connection, which took "
        f"{percent(connecting / spent)} of the time of all requests; {expired} connections had "
        f"expired {kept}.",
        explanation="Idle connections are closed before the next request needs them, and that "
        "request "
        "pays for TCP and TLS.",
        advice=f"Keep them for longer, below the load balancer's own idle timeout: "
        f"{advisor(case).keep_idle(longer, case.maximum)}.",
    )

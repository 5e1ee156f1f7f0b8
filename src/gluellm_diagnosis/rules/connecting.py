"""Rules: connections that are opened too often, cannot be established, or break."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Container
from dataclasses import replace
from functools import partial
from statistics import median

from opentelemetry.instrumentation.gluellm import thresholds
from opentelemetry.instrumentation.gluellm.providers import is_carried_by
from opentelemetry.instrumentation.gluellm.snapshots.parts import Failure, number_of
from opentelemetry.instrumentation.gluellm.text import (
    call_site_text,
    counted,
    one_line,
    percent,
    period_text,
    seconds,
    timeout_text,
)
from opentelemetry.instrumentation.gluellm.vocabulary import WEBSOCKET

from ..advice.servers import CERTIFICATE_HELP, CONNECT_HELP, SET_UP_HELP, server_words
from ..case import Activity, PoolCase
from ..findings import Clause, Finding, Kind, Meaning, observed_text
from ..severity import severity
from .holding import without_http2
from .timeouts import Requests, evidence_of

_NOT_READY = ("connecting", "transient_failure")
_BESIDE_CONNECT = ("resolve", "thread", "proxy", "tls")
"""Steps that a connect timeout can end, other than the one that its usual explanation is about."""
LOST_CONNECTION = ("protocol_error", "read_error")
"""Errors of a connection that was closed, or reset, while a response was expected."""
_AT_ONCE = ("too_many_open_files", "no_local_ports")
"""Errors that the network never causes: one is enough for a finding."""
_SHORT_IDLE = Meaning(
    "The connections that broke had been idle for at most {} on average. Either a forked process "
    "uses the same client, or the server or a gateway on the path restarts, or closes idle "
    "connections that early (gunicorn after 2 s, uvicorn and Node.js after 5 s).",
    "Find out whether the process forks (os.fork, multiprocessing, gunicorn with preload_app): "
    "build the client in each process, after the fork. If not, keep idle connections for less time "
    "than the server does: {}. Check its log for restarts.",
)
_PROBED_AFTER = 60
"""Seconds of idleness after which SO_KEEPALIVE probes, as advised."""
_CLOSED_IDLE = (
    "These connections were idle: the server or a load balancer closes idle ones sooner than the "
    "client does. Or the server restarts, or a forked process uses the same client."
)
_DROPPED = (
    "The other end, or a load balancer or address translator on the path, dropped connections "
    "after a time without data or at a restart, while the pool kept them."
)
_THINKING = "While a model thinks for minutes without sending a byte, its connection looks idle."
_DEAD_ADDRESS = (
    "TCP takes one round trip, so {} means that first attempts get no answer: one of several "
    "addresses of the host (also IPv6) may be dead, or a full server drops attempts."
)
_RESTARTS = Meaning(
    "the server, or a gateway on the path, restarts: it refuses connections and resets open ones "
    "at the same moments, and serves requests in between",
    "look at its restarts: deployments, crashes, memory limits, health checks. It should end its "
    "requests before it stops",
)
_EACH_ADDRESS = "list the addresses of the host (getent ahosts HOST), and try to connect to each"

_NOT_REUSED = {
    "keepalive_expired": Meaning(
        "Idle connections are closed{after}, before the next request needs them",
        "Keep idle connections for longer, but less than the load balancer's idle timeout: "
        "{keep_idle}",
    ),
    "keepalive_limit": Meaning(
        "The pool keeps only {idle} idle connections and closes the others after their request",
        "Raise the limit on idle connections. {keep}",
    ),
    "connection_close": Meaning(
        "The server, a proxy or the client asks to close each connection (Connection: close)",
        "Check that the client sends no header Connection: close. Turn keep-alive on in the server "
        "or proxy (nginx: proxy_http_version, keepalive_requests)",
    ),
    "force_close": Meaning(
        "The client closes each connection after its request: force_close=True",
        "Build the aiohttp.TCPConnector without force_close",
    ),
    "server_disconnect": Meaning(
        "The server, or its proxy, closes idle connections sooner than the client does",
        "Let it keep them longer (nginx: keepalive_timeout, uvicorn: --timeout-keep-alive)",
    ),
    "cancelled": Meaning(
        "A cancelled request closes its connection, since its answer may still come on it",
        "Let calls end: if a timeout cancels them, raise it, or make them shorter",
    ),
}
"""By close reason. ``force_close`` is ``connection_close`` by a setting of aiohttp's client."""
_BY_SERVER = ("connection_close", "server_disconnect")
"""Reasons that are no choice of the client. The others also occur in a healthy program that pauses
or cancels."""


def client_churn(case: PoolCase) -> Finding | None:
    """Detect that each call builds a client, and with it a pool."""
    activity = case.activity
    churned = activity.churned_origins
    if not churned:
        return None
    pools = sum(activity.new.pools[origin] for origin in churned)
    requests = sum(activity.new.requests[origin] for origin in churned)
    sites = (activity.new.built_at.get(origin, Counter()) for origin in churned)
    built_at: Counter[str] = sum(sites, Counter())
    calls = activity.number("entered") - activity.number("resent")
    # If each any-llm call needs several pools (lmstudio), keeping a client does not avoid them.
    each = f" of {counted(calls, 'call')}" if activity.number("resent") else ""
    websocket = any(WEBSOCKET in origin.protocols for origin in case.totals.origins)
    over = " over WebSocket" if websocket else ""
    # GlueLLM builds its clients before it calls any-llm, so their call site is unknown.
    gluellm = case.process.gluellm and not any(built_at.values())
    # Most of the pools are gone, so the live ones don't show how they were used.
    advisor = replace(case, pools=(), process=replace(case.process, gluellm=gluellm)).advisor
    latest: Requests = [*case.requests, *case.answers, *case.failures]
    what, until = "call", "they are garbage-collected"
    if advisor.may_be_gluellms:
        what, until = "event loop", "gluellm.close_providers() closes them"
    return Finding(
        kind=Kind.CLIENT_CHURN,
        severity=severity(threatens=True),
        observed=f"{pools} pools opened for {counted(requests, 'request')}{each} "
        f"({requests / pools:.1f} per pool), with "
        f"{counted(activity.number('opened'), 'new connection')}{over}"
        f"{_built_at(built_at, pools)}.",
        explanation=f"A client is built for each {what}, so hardly any connection is reused, and "
        f"connections stay open until {until}.",
        advice=f"{_one_client(case) or advisor.keep_instance()}.",
        evidence=()
        if any(request.call_site in built_at for request in latest)
        else evidence_of("Latest requests of all clients", latest),
    )


def _one_client(case: PoolCase) -> str:
    """Return advice to keep one client of an SDK that the application calls; empty without one."""
    name = case.totals.name
    if case.process.any_llm or not is_carried_by(name, case.totals.library):
        return ""
    return f"Build one client of the {one_line(name)} SDK when the program starts, for all calls"


def _built_at(sites: Counter[str], pools: int) -> str:
    """Return text on the call site that built the most pools; empty if none is known."""
    if not any(sites.values()):
        return ""
    ((site, count),) = sites.most_common(1)
    number = "" if count >= pools else f"{count} of them "
    return f", {number}built at {call_site_text(site)}"


def connect_failures(case: PoolCase) -> Finding | None:
    """Detect connections that could not be established, by reason."""
    activity = case.activity
    failures = dict(activity.connect_failures)
    if case.loop_is_blocked:
        failures.pop("connect_timeout", None)  # a blocked loop lets them expire
    count = sum(failures.values())
    step = activity.slowest_step
    if not count or (step == "thread" and failures.keys() == {"connect_timeout"}):
        return None  # `slow_connecting` reports them
    left = max(activity.left, count)
    share = count / left
    if not (_often(count, share) or any(kind in failures for kind in _AT_ONCE)):
        return None
    kinds = ", ".join(f"{kind} {number}" for kind, number in failures.items())
    known = dict(CONNECT_HELP)
    if step in _BESIDE_CONNECT:
        name, check = SET_UP_HELP[step]
        known["connect_timeout"] = (f"most of the time of set-ups is spent {name}", check)
    kept = min((pool.max_idle_connections or 0 for pool in case.pools), default=0)
    if case.pools and kept < case.totals.peak_active:
        more = f"let the pool keep more idle connections (now {kept}), so that they are reused"
        known["no_local_ports"] = (known["no_local_ports"][0], more)
    if _restarts(case):
        known["connection_error"] = _RESTARTS
    if "secure_connection_error" in failures:
        tls, _ = _failing_origin(activity, ("secure_connection_error",))
        known["secure_connection_error"] = _tls_help(case, tls)
    explanation, advice = (
        "; ".join(f"{kind}: {known[kind][part]}" for kind in failures) for part in (0, 1)
    )
    provider = case.totals.provider if case.process.any_llm else None
    words = server_words(provider, case.totals.library)
    observed = Clause(
        f"{count} of {counted(left, 'request')} ({percent(share)}) got no connection: {kinds}"
        f"{_failing_origin(activity, failures)[1]}",
        frozenset((count, left)),
    )
    return Finding(
        kind=Kind.CONNECT_FAILURES,
        severity=severity(failed=share, attempts=case.only_attempts),
        observed=observed_text([observed]),
        clauses=(observed,),
        explanation=f"{explanation}.",
        advice=f"{advice.format(**words)}.",
    )


def _failing_origin(activity: Activity, errors: Container[object]) -> tuple[str, str]:
    """Return the origin to which most connections fail, and text on how many."""
    failed: Counter[str] = Counter()
    for origin, items in activity.by_origin.items():
        left = (item for item in items if item[0] == "left" and item[2] in errors)
        failed[origin] = int(sum(items[item] for item in left))
    (origin, count), *_ = failed.most_common(1)
    new = max(int(activity.by_origin[origin]["on_new_connection",]), count)
    to = f"{counted(new, 'request')} to {one_line(origin)}"
    return origin, f". Of {to} that needed a new connection, {count} failed"


def _tls_help(case: PoolCase, origin: str) -> tuple[str, str]:
    """Return what it means that TLS fails, and what to check, by how and when it does."""
    means, check = CONNECT_HELP["secure_connection_error"]
    failed = [one for one in case.failures if one.result == "secure_connection_error"]
    ((code, _),) = Counter(one.verify_code for one in failed).most_common(1) or [(0, 0)]
    if code:
        why = CERTIFICATE_HELP.get(code, f"OpenSSL's verify code is {code}")
        means = f"the server's certificate does not verify, since {why}"
        check = "check the chain that it sends (openssl s_client -showcerts), and {certificates}"
    began = [one.ago + one.phase_age for one in failed]
    first, last = max(began, default=0.0), min(began, default=0.0)
    others = (c.age for c in case.connections if c.origin == origin and c.state != "connecting")
    if any(last < age < first for age in others):
        several = ", or one of several clients," if case.totals.pools_opened > 1 else ""
        means = (
            f"{means if code else 'TLS fails'}. Other connections to this port succeed meanwhile: "
            f"most likely one of several servers behind the address{several} is at fault"
        )
        check += ", for each server behind the address (getent ahosts HOST, replicas)"
    return means, check


def _often(failures: int, share: float) -> bool:
    """Return whether failures are more than retries cover, or most of few requests."""
    many = failures >= thresholds.CONNECT_FAILURES and share >= thresholds.CONNECT_FAILURE_SHARE
    return many or share >= thresholds.MOST_FAIL


def client_closed(case: PoolCase) -> Finding | None:
    """Detect that a client was closed while it had requests in flight.

    INFO if they are few of many: a deploy can close a client while a last answer is read.
    """
    ended = [failure for failure in case.failures if failure.result == "client_closed"]
    if not ended:
        return None
    site, number = case.totals.closed_at, case.recent_requests
    where = f" by {call_site_text(site)}" if site else ""
    often = _often(len(ended), len(ended) / number)
    return Finding(
        kind=Kind.CLIENT_CLOSED,
        severity=severity(slower=often),
        observed=f"{len(ended)} of the last {counted(number, 'request')} failed "
        f"since their own client was closed{where} while they were in flight.",
        evidence=evidence_of("These requests", ended),
        explanation="One part of the program closes a client that another part still uses. Later "
        "requests of the closed client fail before they reach a pool, so these numbers do not "
        "include them. Neither the network nor the provider is the cause.",
        advice="Close a client only when nothing uses it any more. If a cache closes "
        "the clients that it evicts, callers must get the client from the cache for each call.",
    )


def server_is_gone(case: PoolCase) -> bool:
    """Return whether most requests cannot connect."""
    failed = sum(case.activity.connect_failures.values())
    return failed >= thresholds.MOST_FAIL * max(1, case.activity.left)


def _restarts(case: PoolCase) -> bool:
    """Return whether a server that works loses and refuses connections at the same moments."""
    refused = [one.ago for one in case.failures if one.result == "connection_error"]
    lost = [one.ago for one in case.failures if one.result in LOST_CONNECTION]
    beside = [a for a in lost if any(abs(a - b) <= thresholds.RESTART_TAKES for b in refused)]
    return 0 < thresholds.NEARLY_ALL * len(lost) <= len(beside) and not server_is_gone(case)


def reuse_failures(case: PoolCase) -> Finding | None:
    """Detect requests that failed on a reused connection."""
    activity = case.activity
    count = activity.number("reuse_failures")
    share = count / max(activity.left, count, 1)
    if count < thresholds.REUSE_FAILURES or share < thresholds.REUSE_FAILURE_SHARE:
        return None
    on_new, on_reused = _unanswered(case)
    if on_new >= thresholds.ALIKE * on_reused or _ended_by_goaway(case) or _restarts(case):
        return None
    silence = max((origin.longest_silence_failed for origin in case.totals.origins), default=0.0)
    silent = silence > thresholds.SILENT_CONNECTION
    expiry = max((pool.keepalive_expiry or 0 for pool in case.pools), default=0)
    now = f" (this client: {timeout_text(expiry)})" if expiry else ""
    idle = min(_longest_idle(case), expiry or math.inf)
    # A server that closes at the same time as the client fails few requests.
    often, most = share >= thresholds.FAILURES_SEVERE, thresholds.SHORT_IDLE
    short = not silent and (idle < most or (often and idle == most))
    closed = not (silent or on_new) and 0 < expiry <= _PROBED_AFTER
    probe = "" if closed or short else case.probe
    why, advice = f"{_DROPPED} {_THINKING}", probe
    if short:
        why = _SHORT_IDLE.explanation.format(seconds(idle))
        advice = _SHORT_IDLE.advice.format(case.advisor.keep_idle(1, case.maximum))
    elif not silent:
        why = _CLOSED_IDLE if closed else f"{_DROPPED} Or a forked process uses the same client."
        advice += (
            f" Keep idle connections for less time than the load balancer does{now}. "
            f"3 s is less than most: {case.advisor.keep_idle(3, case.maximum)}. If the process "
            "forks, build the client in each process, after the fork."
        )
    return Finding(
        kind=Kind.REUSE_FAILURES,
        severity=severity(failed=share, attempts=case.only_attempts),
        observed=f"{count} of {counted(max(activity.left, count), 'request')} ({percent(share)}) "
        "failed on a reused connection before an answer came"
        + (f", after up to {seconds(silence)} of silence" if silent else "")
        + ("; SO_KEEPALIVE is off." if probe else "."),
        explanation=why,
        advice=advice.strip()
        or "Stream the answers, so that bytes flow, and let the SDK send failed requests again.",
    )


def _longest_idle(case: PoolCase) -> float:
    """Return an upper bound of the mean time that connections were idle before they failed."""
    period, most = min(case.recent, thresholds.PEAK_REMEMBERED), max(case.totals.peak_active, 1)
    failed = sum(one.ago <= period and one.result in LOST_CONNECTION for one in case.failures)
    # The first ones can have been idle since long before. With HTTP/2, one loses many requests.
    unknown = failed <= most or any("2" in origin.protocols for origin in case.totals.origins)
    return math.inf if unknown else most * period / (failed - most)


def _unanswered(case: PoolCase) -> tuple[float, float]:
    """Return the share of requests whose connection was lost before an answer: new, reused ones."""
    activity = case.activity
    reused_failed = activity.number("reuse_failures")
    lost = sum(activity.errors[error] for error in LOST_CONNECTION)
    # Only the latest failures are known one by one.
    latest = sum(failure.result in LOST_CONNECTION for failure in case.failures)
    while_read = lost * len(_truncated(case)) / max(latest, 1)
    new_failed = max(lost - while_read - reused_failed, 0.0)
    if new_failed < thresholds.CONNECT_FAILURES:
        new_failed = 0.0
    new = activity.number("on_new_connection")
    reused = activity.sent - new
    return new_failed / max(new, new_failed, 1), reused_failed / max(reused, reused_failed, 1)


def _ended_by_goaway(case: PoolCase) -> int:
    """Return how many connections a GOAWAY ended, if it explains most failures."""
    closed = case.activity.named("closed")
    ended, errors = int(closed["goaway"]), case.activity.errors
    explains = 2 * ended > closed.total() and errors["protocol_error"] >= errors["read_error"]
    return ended if explains else 0


def closed_unanswered(case: PoolCase) -> Finding | None:
    """Detect that the other end closes connections before it answers, as often if they are new."""
    activity = case.activity
    on_new, on_reused = _unanswered(case)
    new = activity.number("on_new_connection")
    failed = round(on_new * new)
    share = (failed + activity.number("reuse_failures")) / max(activity.left, failed, 1)
    on_new_too, goaway = failed and on_new >= thresholds.ALIKE * on_reused, _ended_by_goaway(case)
    if share < thresholds.TRUNCATED_SHARE or not (on_new_too or goaway):
        return None
    usable = sum(c.state != "connecting" and c.requests_served > 0 for c in case.connections)
    finding = partial(
        Finding,
        kind=Kind.CLOSED_UNANSWERED,
        severity=severity(failed=share, attempts=case.only_attempts),
    )
    if on_new >= thresholds.MOST_FAIL and on_reused == 0 and usable and activity.sent > new:
        return finding(
            observed=f"{failed} of {counted(new, 'request')} on a new connection failed before the "
            f"first byte of an answer, and none of {activity.sent - new} on established ones. "
            f"{usable} established connections are open.",
            explanation="The other end accepts new connections and closes them, and established "
            f"ones work. So it limits the connections of a client, to about {usable}, or a load "
            "balancer sends all new ones to a broken server.",
            advice=f"{case.advisor.allow(usable)}. Or raise the limit at the gateway or provider.",
        )
    if goaway:
        return finding(
            observed=f"The other end ended {counted(goaway, 'HTTP/2 connection')} with GOAWAY, and "
            "the requests that waited for their answers failed.",
            explanation="A server or gateway does that after a number of requests, after a time, "
            "or when it restarts. The client gives up all requests in flight.",
            advice="Raise the gateway's limit per connection (nginx: keepalive_requests), let the "
            f"SDK send again, or use HTTP/1.1: {without_http2(case)[1]}.",
        )
    reused = f" and {percent(on_reused)} of those on reused ones" if on_reused else ""
    return finding(
        observed="The other end closed or reset the connection while requests waited for the "
        f"answer: {percent(on_new)} of the requests on new connections{reused}.",
        explanation="New connections fail, so neither the pool nor idle connections are the cause: "
        "the gateway or the provider is.",
        advice="Check the log of the gateway and the provider's status page. Send fewer requests "
        "at a time, and let the SDK send failed ones again.",
    )


def _truncated(case: PoolCase) -> list[Failure]:
    """Return the latest requests that failed while their answer was read."""
    lost = (failure for failure in case.failures if failure.result in LOST_CONNECTION)
    return [failure for failure in lost if failure.phase in ("reading", "unread")]


def truncated_answers(case: PoolCase) -> Finding | None:
    """Detect answers whose connection was closed before they were complete."""
    ended = _truncated(case)
    number = case.recent_requests
    share = len(ended) / max(number, 1)
    if len(ended) < thresholds.TRUNCATED or share < thresholds.TRUNCATED_SHARE:
        return None
    results = Counter(failure.result for failure in ended).most_common()
    kinds = ", ".join(f"{result} {count}" for result, count in results)
    ages = [failure.age for failure in ended]
    least, half, most = map(seconds, (min(ages), median(ages), max(ages)))
    return Finding(
        kind=Kind.TRUNCATED_ANSWERS,
        severity=severity(failed=share, attempts=case.only_attempts),
        observed=f"{len(ended)} of the last {counted(number, 'request')} ({percent(share)}) failed "
        f"while reading the answer, {least} to {most} (median {half}) after their call began: "
        f"{kinds}.",
        evidence=evidence_of("These requests", ended),
        explanation="The answer had begun, and the connection was closed before it was complete: "
        "the provider or a proxy restarts, or has a timeout or limit.",
        advice="If these times are alike, check the read timeout of the proxy or gateway (nginx: "
        "proxy_read_timeout). Otherwise look for restarts in its log. No SDK repeats a request "
        "whose stream has begun, so let the application repeat it.",
    )


def _running(case: PoolCase) -> int:
    return sum(pool.connecting for pool in case.pools)


def _set_ups(case: PoolCase) -> int:
    # A running set-up counts as a whole one, so that the mean time is never too high.
    ended = case.activity.number("opened") + sum(case.activity.connect_failures.values())
    return ended + _running(case)


def slow_connecting(case: PoolCase) -> Finding | None:
    """Detect that establishing connections takes long, and name the step.

    The latest set-ups count: those of the first period that has enough of them.
    """
    enough = (one for one in case.lately if _set_ups(one) >= thresholds.SLOW_SET_UPS)
    case = next(enough, case.lately[-1])
    activity, earlier, number = case.activity, case.baseline, _set_ups(case)
    total, step = sum(activity.named("step").values()), activity.slowest_step
    if step is None or number < thresholds.SLOW_SET_UPS:
        return None
    mean, least, before = total / number, thresholds.SLOW_SET_UP, ""
    if earlier is not None and earlier.number("opened"):
        usual = sum(earlier.named("step").values()) / earlier.number("opened")
        least = min(least, max(thresholds.SLOWER_SET_UP, thresholds.SET_UP_RATIO * usual))
        before = f" ({seconds(usual)} before)"
    costs = thresholds.CONNECTING_COSTS * activity.time()
    if mean < least or activity.time("connecting") < costs:
        return None
    name, advice = SET_UP_HELP[step]
    origins = [one for one, items in activity.by_origin.items() if items["on_new_connection",]]
    to = f" to {one_line(origins[0])}" if len(origins) == 1 else ""
    share = activity.named("step")[step] / total
    explanation = "Each new connection waits for that."
    if step == "connect" and mean >= thresholds.SLOW_SET_UP and share >= thresholds.NEARLY_ALL:
        explanation = f"{_DEAD_ADDRESS.format(seconds(mean))} {explanation}"
        advice = f"{_EACH_ADDRESS}; {advice}"
    reuse = not_reused(case)
    explanation += f" {reuse.explanation}" if reuse else ""
    advice += f". {reuse.advice.removesuffix('.')}" if reuse else ""
    failed = activity.errors["connect_timeout"] if step == "thread" else 0
    many = _often(failed, lost := failed / max(activity.left, 1))
    of = f"; {failed} of {counted(activity.left, 'request')} got no connection: connect_timeout"
    return Finding(
        kind=Kind.EXECUTOR_FULL if step == "thread" else Kind.SLOW_CONNECTING,
        severity=severity(failed=many * lost, attempts=case.only_attempts, slower=True),
        observed=f"In the last {period_text(activity.period)}, "
        f"{counted(number, 'new connection')}{to} took {seconds(mean)} each{before}, "
        f"{percent(share)} of it {name}{of if many else ''}.",
        explanation=explanation,
        advice=f"{advice[0].upper()}{advice[1:]}.",
    )


def not_reused(case: PoolCase) -> Finding | None:
    """Detect that requests pay for new connections since most are closed for one reason."""
    activity = case.activity
    closed = activity.named("closed")
    failed = sum(o.held_seconds for o in activity.outcomes if o.error in CONNECT_HELP)
    spent, connecting = activity.time(), max(activity.time("connecting") - failed, 0.0)
    if closed.total() < thresholds.CLOSED_CONNECTIONS or spent <= 0:
        return None
    ((reason, count),) = closed.most_common(1)
    least = thresholds.CLOSED_SHARE * max(closed.total(), activity.number("opened"))
    if count < least or reason not in _NOT_REUSED:
        return None
    paid, requests = activity.number("on_new_connection"), activity.number("entered")
    if connecting < thresholds.CONNECTING_COSTS * spent or not paid:
        return None
    never_kept = {(pool.library, pool.keepalive_expiry) for pool in case.pools} == {("aiohttp", 0)}
    why = "force_close" if never_kept and reason == "connection_close" else reason
    means, advice = _NOT_REUSED[why]
    expiry = max((pool.keepalive_expiry or 0 for pool in case.pools), default=0)
    idle = min((pool.max_idle_connections or 0 for pool in case.pools), default=0)
    most = max(case.totals.peak_active, idle + 1)
    words = {
        "after": f" after {timeout_text(expiry)}" if expiry else "",
        "idle": idle,
        "keep_idle": case.advisor.keep_idle(max(60, 2 * round(expiry)), case.maximum),
        # `keep` would remove a pool's limit.
        "keep": case.advisor.allow(case.maximum) if case.maximum else case.advisor.keep(most),
    }
    dear = why in _BY_SERVER and connecting >= thresholds.SLOWER_BY * paid
    hurts = dear or connecting >= thresholds.CONNECTING_HURTS * spent
    return Finding(
        kind=Kind.NOT_REUSED,
        severity=severity(slower=hurts),
        observed=f"{paid} of {counted(requests, 'request')} "
        f"({percent(min(paid / max(requests, 1), 1.0))}) needed a new connection. To establish "
        f"these took {percent(connecting / spent)} of the time of all requests. Most connections "
        f"were closed with the reason {reason}.",
        explanation=f"{means.format(**words)}, and the next request has to open a new one.",
        advice=f"{advice.format(**words)}.",
    )


def channel_not_ready(case: PoolCase) -> Finding | None:
    """Detect gRPC channels that have been connecting, or failing to, for a long time."""
    stuck = [
        pool
        for pool in case.pools
        if pool.channel_state in _NOT_READY
        and (pool.channel_state_age or 0.0) >= thresholds.CHANNEL_NOT_READY_FOR
    ]
    if not stuck:
        return None
    longest = max(stuck, key=lambda pool: pool.channel_state_age or 0.0)
    requests = (request for pool in stuck for request in pool.requests)
    waiting = number_of(r for r in requests if r.phase in ("queued", "connecting"))
    return Finding(
        kind=Kind.CHANNEL_NOT_READY,
        severity=severity(stuck=waiting > 0, threatens=True),
        observed=f"{counted(len(stuck), 'channel')} not ready, one in {longest.channel_state} for "
        f"{seconds(longest.channel_state_age or 0.0)}; {counted(waiting, 'call')} waiting.",
        explanation="gRPC fails to connect and keeps trying. Calls with wait_for_ready wait until "
        "their deadline; all others fail at once as UNAVAILABLE.",
        advice="Check the target and its port, the resolver, TLS or plaintext, and the route to it "
        "(GRPC_VERBOSITY=debug GRPC_TRACE=connectivity_state).",
    )


def wrong_event_loop(case: PoolCase) -> Finding | None:
    """Detect requests that failed since their client is used on a second event loop."""
    failed = case.activity.number("anomaly", "wrong_event_loop")
    if failed <= 0:
        return None
    call_sites = case.totals.two_event_loops or ("", "")
    first, second = (call_site_text(site or "an unknown call site") for site in call_sites)
    return Finding(
        kind=Kind.WRONG_EVENT_LOOP,
        severity=severity(failed=failed / max(case.activity.left, failed)),
        observed=f"{counted(failed, 'request')} failed with RuntimeError in another event loop "
        f"than that of the client's connections. The last one was sent at {second}; connections "
        f"were established at {first}.",
        explanation="A connection belongs to the event loop in which it was established. A client "
        "fails when it reuses one in a second loop, as in a second asyncio.run().",
        advice=f"{case.advisor.one_loop()}.",
    )


def forked_client(case: PoolCase) -> Finding | None:
    """Detect that a forked process sends requests on connections that its parent established."""
    # An adopted connection has served one request before its pool was tracked.
    used = sum(one.age > case.age and one.requests_served > 1 for one in case.connections)
    if not used:
        return None
    return Finding(
        kind=Kind.FORKED_CLIENT,
        severity=severity(threatens=True),
        observed=f"This process uses {counted(used, 'connection')} that its parent established.",
        explanation="If both use the client, each can get the other's answers, without an error.",
        advice="Build the client in each process, after the fork, or close it before the fork.",
    )

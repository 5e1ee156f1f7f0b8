"""The table of rules: what each finds, which other findings hide it, and what it can explain."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple, TypeVar

from opentelemetry.instrumentation.gluellm.snapshots.parts import PROVIDERS_PART
from opentelemetry.instrumentation.gluellm.vocabulary import RETRIED

from .advice.servers import CONNECT_HELP, SET_UP_HELP
from .case import PoolCase
from .changes import is_slower
from .findings import Finding, Kind, Part, Severity, results, steps, times
from .rules import (
    adopted,
    capacity,
    connecting,
    holding,
    layers,
    limiting,
    process,
    provider,
    retrying,
    settings,
    threads,
    timeouts,
    waiting,
)

T = TypeVar("T")
Failed = Callable[[Exception], object]
"""Is called with an exception, and the judgement goes on without the step that raised it."""
_ANSWER = times(*PROVIDERS_PART)
_PROVIDER = _ANSWER | results("read_timeout")
_QUEUE = times("queued") | results("pool_timeout")
_SET_UP = times("connecting") | steps(*SET_UP_HELP)
_SLOW_SET_UP = _SET_UP | results("connect_timeout")
_NEW = times("connecting") | steps("connect", "tls")
_THREADS = times("preparing") | steps("thread") | results("connect_timeout")
_RETRIED = times("backoff") | results(*map(str, RETRIED))
_CLOSED = results(*connecting.LOST_CONNECTION, "connection_error")
_USED_UP = results("too_many_open_files", "no_local_ports")
_ON_SECOND_LOOP = results("RuntimeError", "_OTHER")
_BROKEN = _CLOSED | results("write_error")
_UNREAD = _QUEUE | times("unread")
_LATE_TIMES = times("preparing", "finishing", "unread", "stream_queued")
_CUT_SHORT = _CLOSED | results("read_timeout")
_TRUNCATED = {Kind.TRUNCATED_ANSWERS: _CUT_SHORT}
_LOST = {Kind.SILENT_CONNECTIONS: _PROVIDER | _QUEUE | results("read_error", "write_error")}
_SLOW_PROVIDER = dict.fromkeys((Kind.SLOW_PROVIDER, Kind.CALLS_SILENT), _PROVIDER | _QUEUE)
TIMES_OUT: Final = results("timeout", "cancelled")
"""Failures that name no cause: the calls have waited too long, wherever their time went."""


class Condition(NamedTuple):
    """A fact of a pool name that hides findings as another finding does."""

    words: str
    holds: Callable[[PoolCase], Any]


CONDITIONS: Final[Mapping[str, Condition]] = {
    "loop_is_late": Condition("an event loop is late", lambda case: case.loop_is_blocked),
    "beyond_lag": Condition(
        "requests have waited longer than the loop's delays explain",
        lambda case: process.waits_beyond_lag(case) or process.unread_beyond_lag(case),
    ),
    "limited": Condition("calls wait in GlueLLM's rate limiter", lambda case: case.limited),
    "slower": Condition("the provider has become slower", is_slower),
    "gives_up": Condition("many requests end in a read timeout", provider.gives_up),
    "server_is_gone": Condition("most requests cannot connect", connecting.server_is_gone),
    "churned_before": Condition(
        "clients were built as often before",
        lambda case: case.baseline and case.baseline.churned_origins,
    ),
    "waits_for_thread": Condition(
        "most of the time is a wait for a thread",
        lambda case: case.activity.slowest_step == "thread",
    ),
    # A busy process hardly makes these steps longer.
    "waits_elsewhere": Condition(
        "most of the time is spent in the resolver or a proxy",
        lambda case: case.activity.slowest_step in ("resolve", "proxy"),
    ),
}


class Hidden(NamedTuple):
    """Rules and conditions that hide a finding."""

    by: tuple[str, ...]
    why: str
    """Reason, for the generated page; empty between two rules on the same cause."""
    but: str = ""
    """Rule or condition; while it holds, they do not hide."""


class Rule(NamedTuple):
    """A rule. It may name only rules above it in its table: a later one is never found yet."""

    name: str
    find: Callable[..., Finding | None]
    """Returns its finding on a case."""
    explains: Mapping[Kind, Iterable[Part]]
    """For each kind of finding that ``find`` can return: the parts of the account it explains."""
    hidden: tuple[Hidden, ...] = ()
    asks: Mapping[str, tuple[str, ...]] = {}
    """Arguments of ``find`` that are True if one of these rules or conditions holds."""
    milder: tuple[str, ...] = ()
    """If one of these rules or conditions holds, an ERROR of this rule becomes a WARNING."""
    hides_from: Severity = Severity.INFO
    """Least severity at which its finding hides others."""


_LATE = Hidden(("loop_is_late",), "A late loop makes all waits longer.")
_LATE_UNLESS_SLOWER = _LATE._replace(but="slower")
_SLOW = ("slow_upload", "queue_at_provider", "overdue_requests", "slow_provider", "silent_provider")
_STUCK = ("leak", "http2_stuck", "silent_connections", "anomaly")
_BUSY = (*_STUCK, "slow_consumer", "one_caller")
_QUEUES = ("pool_saturated", "pool_too_small", "slow_connecting")
_HOLD = (*_BUSY, "held_back_answers", *_SLOW)
"""Rules on what holds connections, so that requests queue."""
_UNSENT = Hidden(("slow_upload",), "The requests are not completely sent.")
_BETTER = Hidden(("overdue_requests", "queue_at_provider"), "")
_NO_STREAM = Hidden(("http2_stuck", "server_is_gone"), "Connections that were kept fail then.")
_DEAD = Hidden(("silent_connections",), "The connections are lost.")
_TIMES = (
    Hidden(
        ("read_timeout", "held_back_answers"),
        "The times of answers that are cut short say nothing.",
    ),
    # If clients were built before as well, the effect is in both of the times that are compared.
    Hidden(
        ("client_churn",), "Building clients keeps the loop from reading answers.", "churned_before"
    ),
)

OF_PROCESS: Final = (
    Rule(
        "blocked_event_loop",
        process.blocked_event_loop,
        {Kind.BLOCKED_EVENT_LOOP: _PROVIDER | _QUEUE | _SLOW_SET_UP | _LATE_TIMES},
    ),
    Rule(
        "descriptors_near_limit",
        process.descriptors_near_limit,
        {Kind.DESCRIPTORS_NEAR_LIMIT: results("too_many_open_files")},
    ),
    Rule("ignored_variable", process.ignored_variable, {Kind.IGNORED_VARIABLE: ()}),
    Rule("outside_scope", process.outside_scope, {Kind.OUTSIDE_SCOPE: ()}),
    Rule(
        "capacity",
        lambda case: capacity.capacity(case.process, case.snapshot.pools, 1, capacity.growth(case)),
        {Kind.CAPACITY: ()},
        (Hidden(("descriptors_near_limit",), "The limit is reached already."),),
    ),
)
"""Rules on the whole process."""
OF_EXECUTOR: Final = (Rule("executor_full", threads.executor_full, {Kind.EXECUTOR_FULL: _THREADS}),)
OF_CALLS: Final = (
    Rule("retries", retrying.retries, {Kind.RETRIES: _RETRIED}),
    Rule("tool_loop", layers.tool_loop, {Kind.TOOL_LOOP: ()}),
    Rule("gluellm_limiter", limiting.gluellm_limiter, {Kind.GLUELLM_LIMITER: times("limited")}),
)
"""Rules on the calls to one provider through one library, the pools, and its earlier calls."""
OF_POOL: Final = (
    Rule(
        "client_churn",
        connecting.client_churn,
        {Kind.CLIENT_CHURN: _NEW | times("preparing") | _USED_UP},
    ),
    Rule("wrong_event_loop", connecting.wrong_event_loop, {Kind.WRONG_EVENT_LOOP: _ON_SECOND_LOOP}),
    Rule("forked_client", connecting.forked_client, {Kind.FORKED_CLIENT: _CUT_SHORT}),
    Rule(
        "connect_failures",
        connecting.connect_failures,
        {Kind.CONNECT_FAILURES: _SET_UP - steps("thread") | results(*CONNECT_HELP)},
    ),
    Rule("client_closed", connecting.client_closed, {Kind.CLIENT_CLOSED: results("client_closed")}),
    Rule(
        "channel_not_ready",
        connecting.channel_not_ready,
        {Kind.CHANNEL_NOT_READY: _SET_UP | _QUEUE | results("UNAVAILABLE", "DEADLINE_EXCEEDED")},
    ),
    Rule("leak", holding.leaked_connections, {Kind.LEAK: _UNREAD}),
    Rule(
        "http2_stuck",
        holding.stuck_streams,
        {Kind.HTTP2_STUCK: _QUEUE | times("stream_queued") | results("protocol_error")},
    ),
    Rule("silent_connections", provider.silent_connections, _LOST),
    Rule("anomaly", waiting.anomaly, {Kind.ANOMALY: _QUEUE}, hides_from=Severity.ERROR),
    Rule(
        "reuse_failures", connecting.reuse_failures, {Kind.REUSE_FAILURES: _BROKEN}, (_NO_STREAM,)
    ),
    Rule(
        "closed_unanswered",
        connecting.closed_unanswered,
        {Kind.CLOSED_UNANSWERED: _BROKEN},
        (_NO_STREAM, _DEAD),
    ),
    Rule("truncated_answers", connecting.truncated_answers, _TRUNCATED, (_DEAD,)),
    Rule("held_back_answers", timeouts.held_back_answers, _TRUNCATED),
    Rule("stalled_streams", provider.stalled_streams, {Kind.STALLED_STREAMS: _ANSWER}),
    Rule(
        "queue_at_provider",
        provider.queue_at_provider,
        {Kind.QUEUE_AT_PROVIDER: _PROVIDER | _QUEUE},
        (_LATE,),
    ),
    Rule(
        "read_timeout",
        timeouts.cut_answers,
        {Kind.READ_TIMEOUT: _PROVIDER},
        (_LATE, Hidden(("held_back_answers", "queue_at_provider"), "A longer wait does not help.")),
        asks={"slower": ("slower",)},
        milder=_BUSY,
    ),
    Rule(
        "slow_upload",
        provider.slow_upload,
        {Kind.SLOW_UPLOAD: _PROVIDER | _QUEUE | results("write_timeout")},
        (_LATE, *_TIMES),
    ),
    Rule(
        "overdue_requests",
        provider.overdue_requests,
        {**_SLOW_PROVIDER, Kind.STALLED_STREAMS: _ANSWER},
        (_LATE_UNLESS_SLOWER, *_TIMES, _UNSENT, Hidden(("gives_up", "queue_at_provider"), "")),
        hides_from=Severity.WARNING,
    ),
    Rule(
        "slow_provider",
        provider.slow_provider,
        _SLOW_PROVIDER,
        (_LATE_UNLESS_SLOWER, *_TIMES, _UNSENT, _BETTER),
        asks={"slower": ("slower",)},
        hides_from=Severity.WARNING,
    ),
    Rule(
        "silent_provider",
        provider.silent_provider,
        {Kind.CALLS_SILENT: _PROVIDER | _QUEUE},
        (_LATE, *_TIMES, _UNSENT, Hidden(("slow_provider",), "It compares with earlier answers.")),
        hides_from=Severity.WARNING,
    ),
    Rule(
        "slow_connecting",
        connecting.slow_connecting,
        {Kind.SLOW_CONNECTING: _SLOW_SET_UP, Kind.EXECUTOR_FULL: _THREADS},
        (
            _LATE,
            Hidden(("connect_failures",), "Failures name the step themselves.", "waits_for_thread"),
            Hidden(("client_churn",), "Building clients keeps the CPU busy.", "waits_elsewhere"),
        ),
    ),
    Rule(
        "slow_consumer",
        holding.slow_consumer,
        {Kind.SLOW_CONSUMER: _UNREAD},
        (_LATE, Hidden(("leak",), "Leaked answers are unread as well.")),
    ),
    Rule(
        "one_caller",
        waiting.one_caller,
        {Kind.ONE_CALLER: _QUEUE},
        (_LATE, Hidden((*_STUCK, *_SLOW), "It explains why connections are held.")),
    ),
    Rule(
        "pool_too_small",
        waiting.pool_too_small,
        {Kind.POOL_TOO_SMALL: _QUEUE, Kind.ONE_CALLER: _QUEUE},
        (
            _LATE,
            Hidden((*_HOLD, "slower"), "Additional connections would also be held."),
            Hidden(("limited",), "Calls that it lets pass together queue for a moment."),
        ),
        asks={"slow_connecting": ("slow_connecting",)},
    ),
    Rule(
        "held_before",
        adopted.held_before,
        {
            Kind.LEAK: _UNREAD,
            **_LOST,
            Kind.SLOW_PROVIDER: _PROVIDER | _QUEUE,
            Kind.POOL_SATURATED: _QUEUE,
        },
    ),
    Rule(
        "pool_saturated",
        waiting.pool_saturated,
        {Kind.POOL_SATURATED: _QUEUE},
        (
            _LATE._replace(but="beyond_lag"),
            Hidden(
                (*_HOLD, "held_before", "pool_too_small", "connect_failures", "read_timeout"),
                "It explains why the pool is full.",
            ),
        ),
    ),
    Rule(
        "calls_cut_short",
        timeouts.cut_calls,
        {Kind.CALLS_CUT_SHORT: TIMES_OUT},
        asks={"slower": _SLOW},
        milder=("loop_is_late", "held_back_answers", *_QUEUES, *_BUSY),
    ),
    Rule(
        "not_reused",
        connecting.not_reused,
        {Kind.NOT_REUSED: _NEW},
        (Hidden(("slow_connecting",), "Kept connections would only hide the slow step."),),
    ),
    Rule("pool_timeout", settings.pool_timeout, {Kind.POOL_TIMEOUT: _QUEUE}),
    Rule(
        "no_read_timeout",
        settings.no_read_timeout,
        {Kind.NO_READ_TIMEOUT: ()},
        asks={"overdue": ("overdue_requests", "silent_provider", "silent_connections")},
    ),
    Rule("refusals", retrying.refusals, {Kind.RETRIES: _RETRIED}),
    Rule("unbounded_pool", settings.unbounded_pool, {Kind.UNBOUNDED_POOL: ()}),
)
"""Rules on one pool name."""
EXPLAINS: Final = {
    kind: frozenset(parts)
    for row in (*OF_PROCESS, *OF_EXECUTOR, *OF_CALLS, *OF_POOL)
    for kind, parts in row.explains.items()
}
"""Parts of the account that a finding of a kind can explain."""
_SEVERITIES = list(Severity)


def attempt(failed: Failed, default: T, step: Callable[..., T], *given: Any, **named: Any) -> T:
    """Return what a step of a judgement returns, or ``default`` if it raises."""
    try:
        return step(*given, **named)
    except Exception as error:
        failed(error)
        return default


def judged(rows: Sequence[Rule], failed: Failed, *case: Any) -> Iterator[Finding]:
    """Yield the findings on a case that no other one hides."""
    found: dict[str, Finding] = {}
    conditions: dict[str, bool] = {}
    hides_from = {row.name: row.hides_from for row in rows}

    def holds(name: str) -> bool:
        if name in found:
            return _SEVERITIES.index(found[name].severity) <= _SEVERITIES.index(hides_from[name])
        if name in CONDITIONS and name not in conditions:
            conditions[name] = bool(attempt(failed, False, CONDITIONS[name].holds, *case))
        return conditions.get(name, False)

    for row in rows:
        hidden = (one for one in row.hidden if any(map(holds, one.by)))
        if not all(one.but and holds(one.but) for one in hidden):
            continue
        asked = {argument: any(map(holds, names)) for argument, names in row.asks.items()}
        finding = attempt(failed, None, row.find, *case, **asked)
        if finding is not None:
            found[row.name] = finding
    milder = {row.name for row in rows if any(map(holds, row.milder))}
    for name, finding in found.items():
        if name in milder and finding.severity is Severity.ERROR:
            finding = replace(finding, severity=Severity.WARNING)
        yield finding

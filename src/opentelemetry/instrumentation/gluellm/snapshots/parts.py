"""Parts of a snapshot: frozen, and without references to live objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..text import seconds
from ..thresholds import SHORTEST_LIMITED
from ..vocabulary import OUTCOMES, STAGES, Item, Subject, served


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSnapshot:
    """One connection. Times are seconds."""

    origin: str
    """Host and port as requested; the host alone if there is no port."""
    state: str
    """``connecting``, ``active`` or ``idle``."""
    protocol: str
    """HTTP version ``1.1`` or ``2``, or ``websocket``; meaningless while connecting."""
    age: float
    """Time since the connection was created."""
    requests_served: int
    streams_active: int | None = None
    """HTTP/2: streams that tracked requests use; None on HTTP/1.1."""
    streams_max: int | None = None
    """HTTP/2: the peer's limit on streams; None on HTTP/1.1."""
    streams_orphaned: int | None = None
    """HTTP/2: streams that no request uses any more but the peer still has open."""
    held_before: str | None = None
    """Phase of the request that holds it, if that began before the observation, so that its age is
    unknown and no count has it: ``awaiting_response``, ``unread``, ``reading`` if it may also be
    unread, or empty if the phase is unknown. None if no such request holds it."""
    silence: float | None = None
    """Time since its last byte arrived, for a connection with ``held_before``; None if unknown."""
    peer: str | None = None
    """As `RequestSnapshot.peer`, for a connection with ``held_before``."""


Group = tuple[str | None, str | None]
"""Model and call site of requests that should take about as long as each other."""
LOST_PEERS = {
    "unacknowledged": "nobody at the other end",
    "unreachable": "keepalive probes unanswered",
    "closed": "closed by the other end",
    "reset": "reset or timed out",
    "not_reading": "the other end takes no more data",
}
"""States of a connection on which no answer can come, with their text."""
_LOST_SINCE = ("unacknowledged", "unreachable")
"""States that began with the silence. It is unknown when the other states began."""


MOST_ALIKE = 100_000
"""Requests that one part may stand for where each of them is counted singly."""
LISTED = 200
"""Requests of a pool that are listed. The others are counted."""
LISTED_IN_ALL = 2_000
"""With requests in more than ten pools, each pool has an equal share of these."""
AGES = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
"""Bounds in seconds of the classes of age in which requests that are not listed are counted. They
include every fixed age that a rule compares with, so the numbers of these rules stay exact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSnapshot:
    """A request in a pool, or several that are counted together. Times are seconds."""

    origin: str
    number: int = 1
    """Requests that it stands for: those that agree in everything but their times, and whose times
    are of the same classes of age. Its times are then means, and it has no trace or connection."""
    phase: str
    """One of the six phases in the telemetry contract."""
    phase_age: float
    """Time in that phase; for ``queued``, time since the request entered the pool."""
    age: float
    """Time since the request entered the pool."""
    held: float | None = None
    """Time since the request acquired its connection; None if it has none."""
    connection: int | None = None
    """Index of its connection in the pool's ``connections``; None if none is known."""
    pool_timeout: float | None = None
    """Queued requests: the longest time to wait for a connection; None if unlimited."""
    provider: str | None = None
    model: str | None = None
    operation: str | None = None
    trace_id: str | None = None
    """32 hexadecimal digits; None if the request belongs to no span."""
    correlation_id: str | None = None
    """GlueLLM's correlation ID, if there is one."""
    call_site: str | None = None
    """Where the application made the call: ``file:line in function``."""
    stack: tuple[str, ...] = ()
    """Whole stack, innermost frame first; only with ``leak_stacks=True``."""
    leak_suspected: bool = False
    item_wait: float | None = None
    """Time that the application has been waiting for the next item of its stream; None if it is not
    waiting, or if the items are not seen."""
    items_silent: bool = False
    """Whether that wait is unusually long, as for `CallsSnapshot.silent`."""
    peer: str | None = None
    """State of its connection's other end, by the watch's latest check, once it has waited for
    bytes for ``peer_check_after``: a key of ``LOST_PEERS``, ``sending`` if a part of the request is
    not sent yet, or ``unknown`` if there is no evidence, as while a provider works on an answer.
    None if it was not checked."""
    peer_silence: float = 0.0
    """Time since the other end last acknowledged anything, or since the request was sent if that is
    shorter; 0 if it was not checked."""

    @property
    def group(self) -> Group:
        return self.model, self.call_site

    @property
    def alike(self) -> range:
        """A step for each request that it stands for; bounded, since a file can have any number."""
        return range(min(self.number, MOST_ALIKE))

    @property
    def lost_peer(self) -> str:
        """Why no answer can come on its connection, as text; empty without evidence."""
        since = f" for {seconds(self.peer_silence)}" if self.peer in _LOST_SINCE else ""
        return LOST_PEERS.get(self.peer or "", "") + since


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSnapshot:
    """One live pool. Times are seconds."""

    name: str
    provider: str | None
    """any-llm's key; None if unknown, or if requests of this name had several providers."""
    library: str
    """Value of ``gluellm.pool.library`` in the telemetry contract."""
    age: float
    """Time since the pool's first request."""
    requests_entered: int
    """Requests so far, including those in flight."""
    max_connections: int | None = None
    """None if unlimited."""
    max_idle_connections: int | None = None
    """None if unlimited."""
    max_connections_per_origin: int | None = None
    """None if there is no such limit."""
    limits_from: str | None = None
    """Calls of ``configure_pools()`` or variables that set the limits; None if none did."""
    keepalive_expiry: float | None = None
    """How long an idle connection is kept; None if it is kept for ever."""
    tcp_keepalive: bool | None = None
    """Whether SO_KEEPALIVE is on for its sockets; None if unknown."""
    pool_timeout: float | None = None
    """Pool timeout of its last request; None if it waits for ever."""
    read_timeout: float | None = None
    """Read timeout of its first request; None if it waits for ever."""
    channel_state: str | None = None
    """Last observed state of a gRPC channel: ``idle``, ``connecting``, ``ready``,
    ``transient_failure`` or ``shutdown``; None for other pools. A channel reports no limits and no
    connections."""
    channel_state_age: float | None = None
    """Time in ``channel_state``, as far as it was observed; None for other pools."""
    synchronous: bool = False
    """Whether synchronous code uses the pool, as far as that is known."""
    threads: int | None = None
    """Maximum number of threads in the executor that sends its requests; None without one."""
    built_at: str | None = None
    """Where the application built the pool: ``file:line in function``."""
    connections: tuple[ConnectionSnapshot, ...] = ()
    queued_before: int = 0
    """Requests that queue since before the observation, which ``requests`` do not include."""
    requests: tuple[RequestSnapshot, ...] = ()
    """At most 200 are listed, and fewer if more than ten pools have requests: the queued ones that
    wait longest, and of the others suspected leaks and those that are longest in their phase, half
    of the list each. The rest follows in entries that each stand for a ``number`` of requests."""
    leases: str = field(default="", repr=False)
    """Times of its ended requests among the last 2 000 of its name, which `what_if` replays: in
    base64, three 32-bit numbers for each, as `Ring.times` describes. Empty if the name has several
    live pools."""

    @property
    def label(self) -> str:
        """Name and library as shown to users, for example ``openai/httpx2``."""
        return f"{self.name}/{self.library}"

    @property
    def active(self) -> int:
        return sum(1 for connection in self.connections if connection.state == "active")

    @property
    def idle(self) -> int:
        return sum(1 for connection in self.connections if connection.state == "idle")

    @property
    def connecting(self) -> int:
        return sum(1 for connection in self.connections if connection.state == "connecting")

    @property
    def in_flight(self) -> int:
        return number_of(self.requests)

    @property
    def queued(self) -> int:
        return number_of(request for request in self.requests if request.phase == "queued")

    @property
    def longest_wait(self) -> float:
        """Longest time that a queued request has waited; 0 if none is queued."""
        waits = (request.phase_age for request in self.requests if request.phase == "queued")
        return max(waits, default=0.0)


def number_of(requests: Iterable[RequestSnapshot]) -> int:
    """Return how many requests these stand for."""
    return sum(request.number for request in requests)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Requests that left a pool with the same outcome."""

    count: int
    status: int | str | None = None
    """HTTP status, or name of the gRPC status; None if no response head arrived."""
    error: str | None = None
    """``error.type`` of the telemetry contract; None on success."""
    resend: bool = False
    """Whether they were the first requests of their calls after the calls backed off."""
    sent: int = 0
    """Requests among them that acquired a connection. 0, as are the times below, for first attempts
    that the provider answered successfully."""
    seconds: float = 0.0
    """Total time of these requests in the pool."""
    held_seconds: float = 0.0
    """Part of ``seconds`` in which they held a connection."""
    provider_seconds: Mapping[str, float] = field(default_factory=dict)
    """Part of ``seconds`` in ``awaiting_response``, and an upper bound for ``reading``."""

    @property
    def served(self) -> bool:
        """Whether the provider answered these requests successfully."""
        return served(self.status, self.error)


PROVIDERS_PART = ("awaiting_response", "reading")
"""Phases in which the provider works on a request."""


def outcome_of(items: Mapping[Item, float], item: Item) -> Outcome:
    """Return the requests of an account's ``item`` that begins with ``left``."""
    _, status, error, resend = item
    times = {
        part: items.get(("left_time", *item[1:], part), 0.0)
        for part in ("total", "held", *PROVIDERS_PART)
    }
    return Outcome(
        count=int(items[item]),
        status=status or None,  # type: ignore[arg-type]
        error=error,  # type: ignore[arg-type]
        resend=bool(resend),
        sent=int(items.get(("sent", *item[1:]), 0)),
        seconds=times.pop("total"),
        held_seconds=times.pop("held"),
        provider_seconds=times,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginTotals:
    """Totals of all pools of one name for one origin and provider, since ``instrument()``.

    Times are seconds.
    """

    origin: str
    provider: str | None = None
    """any-llm's key; None if unknown."""
    pools: int
    """Pools that ever had a request to the origin. A pool of several providers counts once."""
    pools_built_at: Mapping[str, int] = field(default_factory=dict)
    """Number of these pools by the call site that built them (``file:line in function``). Pools
    whose call site is unknown are left out."""
    requests_entered: int
    phase_seconds: Mapping[str, float]
    """Time in each phase, of finished and running requests together."""
    requests_now: Mapping[str, int]
    """Requests in each phase now."""
    outcomes: tuple[Outcome, ...] = ()
    timeouts: Mapping[str, int]
    """Number of timeouts by kind: pool, connect, read, write."""
    reuse_failures: int = 0
    """Requests that failed on a reused connection before the first byte of a response."""
    longest_silence_failed: float = 0.0
    """Longest time that a request had waited for bytes when its reused connection failed."""
    set_up_seconds: Mapping[str, float] = field(default_factory=dict)
    """Time in each step of establishing connections, of finished, failed and running set-ups:
    ``resolve``, ``connect``, ``proxy``, ``tls``, ``other``; and ``thread``, the wait for a thread
    of asyncio's executor that resolves the name, which is not part of ``resolve`` here."""
    longest_silence_answered: float = 0.0
    """Longest time that a request waited for bytes until they arrived."""
    requests_lost_peer: int = 0
    """Ended requests whose connection was lost (see `RequestSnapshot.lost_peer`)."""
    requests_on_new_connection: int = 0
    """Requests that waited while their connection was established."""
    requests_resent: int = 0
    """Requests that were not the first of their any-llm call."""
    protocols: tuple[str, ...] = ()
    """Protocols of its connections so far: HTTP ``1.1`` or ``2``, or ``websocket``."""


class Failure(NamedTuple):
    """A request that failed, was cancelled or refused, or that an exception of its reader cut.

    Times are seconds.
    """

    ago: float
    """Time since it ended."""
    result: str
    """``error.type`` of the telemetry contract, else that exception's name or its status."""
    age: float
    """Time from the begin of its call, or from its entry without one, to its end."""
    phase: str
    phase_age: float
    """Time in that phase, its last one."""
    model: str | None = None
    call_site: str | None = None
    head: float = 0.0
    """Time that it waited for the head of the answer."""
    verify_code: int = 0
    """OpenSSL's code if the certificate of its connection did not verify; else 0."""


class Answer(NamedTuple):
    """A first attempt that the provider served. Times are seconds."""

    ago: float
    """Time since it ended."""
    model: str | None
    head: float
    """Time until the head of the answer."""
    rest: float
    """Time from the head to the end, pauses of the application included."""
    items: int
    """Items of a stream that the application requested; 0 unless it was streamed."""
    number: int = 1
    """Answers that it stands for: at most 20 in a second are kept."""
    call_site: str | None = None
    gap: float = 0.0
    """Longest wait for an item of a stream, if it took more than a second: it is looked for once a
    second."""

    @property
    def group(self) -> Group:
        return self.model, self.call_site


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolTotals:
    """Totals of all pools of one name since ``instrument()``, including pools that are gone."""

    name: str
    provider: str | None
    """any-llm's key; None if unknown, or if the requests had several providers."""
    library: str
    pools_opened: int
    pools_synchronous: int = 0
    """Opened pools that synchronous code uses, as far as that is known."""
    pools_live: int
    pools_discarded: int
    connections_opened: int
    connections_closed: Mapping[str, int]
    """Number by close reason, as in the telemetry contract."""
    requeues: int
    peak_active: int
    """Most connections active or connecting at one moment of the last ``peak_window``."""
    peak_queued: int
    streams_most: int = 0
    """Highest limit on streams that was seen on one HTTP/2 connection; 0 if there was none."""
    leaks: int
    """Connections that were ever held unread for longer than the leak threshold."""
    leaked_at: str | None = None
    """Call site (``file:line in function``) of the last of them; None if it is unknown."""
    anomalies: Mapping[str, int]
    two_event_loops: tuple[str, str] | None = None
    """Call sites (``file:line in function``) of the last ``wrong_event_loop``: what established a
    connection, and what sent a request in another loop. An unknown one is empty."""
    closed_at: str | None = None
    """Call site (``file:line in function``) that closed a pool with requests in flight, the last
    one; None if there is none, or if it is unknown."""
    channel_seconds: Mapping[str, float] | None = None
    """Time that its gRPC channels spent in each state; None for other pools. Channels report no
    connections."""
    origins: tuple[OriginTotals, ...] = ()
    failures: tuple[Failure, ...] = ()
    """The latest 100, the last one last."""
    answers: tuple[Answer, ...] = ()
    """The latest 200 that were kept, the last one last."""
    earlier_answers: tuple[Answer, ...] = ()
    """One answer in nine seconds of the last half hour; the first 100 are four in a second."""

    @property
    def label(self) -> str:
        """Name and library as shown to users, for example ``openai/httpx2``."""
        return f"{self.name}/{self.library}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorSnapshot:
    """Executor whose threads send the requests of blocking SDKs and clients."""

    threads: int
    """Maximum number of threads."""
    waiting: int
    """Calls of any kind that wait for a thread. They have not entered a pool."""
    requests: int
    """Requests that hold a connection in these threads."""
    anyio: bool = False
    """Whether they are worker threads of AnyIO, as of plain ``def`` endpoints of FastAPI."""
    pools: tuple[str, ...]
    """Name and library of each pool, the one with the most requests first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallsSnapshot:
    """Calls to one provider through one library since ``instrument()``. Times are seconds.

    A call is one model call as the application makes it. Calls made inside another call count as a
    part of that one.
    """

    provider: str | None
    """any-llm's key of the provider that a call went to first; None if unknown."""
    source: str
    """Where the calls are observed: ``gluellm``, ``any_llm``, ``sdk`` or ``http``."""
    now: Mapping[str, int]
    """Calls in flight, by stage: limited, preparing, requesting, backoff, finishing."""
    oldest: Mapping[str, float]
    """Longest time that a call has been in each stage without leaving it; 0 if none is in it."""
    stage_seconds: Mapping[str, float]
    """Time in each stage, of finished and running calls together."""
    outcomes: Mapping[str, int]
    """Calls that ended, by outcome: succeeded, abandoned, cancelled, failed."""
    errors: Mapping[str, int] = field(default_factory=dict)
    """Failed calls, by ``error.type`` of the telemetry contract."""
    retries: int = 0
    """Requests that were the first of their call after it backed off."""
    attempts_repeated: int = 0
    """Attempts of GlueLLM other than the first of their call."""
    pauses: int = 0
    """Pauses of SDKs before they sent a request again, as far as the SDK shows them."""
    pauses_requested: int = 0
    """Pauses among them for which the provider had sent ``Retry-After``."""
    limited: int = 0
    """Attempts that waited in GlueLLM's rate limiter and have passed it."""
    turns: int = 0
    """Ended calls of GlueLLM whose correlation id an earlier call had: further turns of a
    ``complete()`` whose answers request tools."""
    unseen: int = 0
    """Calls in ``requesting`` whose request no observed pool shows: of an own transport, for
    example."""
    silent: int = 0
    """Calls in flight that have been waiting unusually long for the provider."""
    oldest_silence: float | None = None
    """Longest time that the application has been waiting for the next item of a stream; 0 if it is
    not waiting; None if no call was streamed."""

    ages: Mapping[float, int] = field(default_factory=dict)
    """Calls in flight by their time so far: number of each class by its upper bound."""

    @property
    def waiting(self) -> int:
        """Calls that wait in GlueLLM's rate limiter: for longer than it takes to pass."""
        waits = self.oldest.get("limited", 0.0) >= SHORTEST_LIMITED
        return self.now.get("limited", 0) if waits else 0

    @property
    def in_flight(self) -> int:
        return sum(self.now.values())

    @property
    def ended(self) -> int:
        return sum(self.outcomes.values())


_CALL_COUNTS = ("retries", "attempts_repeated", "pauses", "pauses_requested", "limited", "turns")


def calls_counted(items: Mapping[Item, float]) -> dict[str, Any]:
    """Return the fields of a `CallsSnapshot` that an account counts."""
    return {
        "stage_seconds": {stage: items.get(("stage", stage), 0.0) for stage in STAGES},
        "outcomes": {outcome: int(items.get(("outcome", outcome), 0)) for outcome in OUTCOMES},
        "errors": {item[1]: int(count) for item, count in items.items() if item[0] == "error"},
        **{what: int(items.get((what,), 0)) for what in _CALL_COUNTS},
    }


Numbers = Mapping[Subject, Mapping[Item, float]]
"""What calls and requests did, see ``watch/account.py``. Times are seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRow:
    """What calls and requests did in a minute or, in the last row, so far. Times are seconds."""

    since: float
    """Time from ``instrument()`` to its begin."""
    until: float
    """Time from ``instrument()`` to its end. While nothing is in flight, there are no rows."""
    numbers: Numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The process's own account: what its calls and requests did, in all and by the minute."""

    row: float = 0.0
    """Seconds that a row covers at least, except for the last one."""
    total: Numbers = field(default_factory=dict)
    """What calls and requests did since ``instrument()``."""
    rows: tuple[AccountRow, ...] = ()
    """The last 60 and the current one, oldest first."""
    before: tuple[AccountRow, ...] = ()
    """Rows from before a finding began, while one is active: what is usual. Empty without one."""
    before_until: float = 0.0
    """Time from ``instrument()`` to that begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSnapshot:
    """Properties of the process that affect its pools."""

    pid: int
    open_descriptors: int | None = None
    """Open file descriptors; None if the system does not report them."""
    descriptor_limit: int | None = None
    """Soft limit on open file descriptors; None if unlimited or unknown."""
    local_ports: int | None = None
    """Ports that the host has for connections to one destination; None if unknown."""
    event_loop_lag: float | None = None
    """Worst lateness of a timer in the last ``peak_window``, in seconds, on event loops that hold
    leases; None if it is not measured."""
    greenlets: bool = False
    """Whether threads are greenlets of gevent or eventlet. Their hub then counts as an event loop:
    it is late while one of them blocks."""
    event_loop_late: float | None = None
    """Seconds since ``instrument()`` that timers were late, on event loops that hold leases. Of
    several loops only the most delayed one counts. None if it is not measured."""
    event_loop_late_share: float | None = None
    """Share of the last minute, from 0 to 1, in which an event loop that holds leases was late. A
    short pause hardly raises it. None if it is not measured."""
    peer_check_after: float | None = 0.0
    """Silence in seconds after which the other end of a connection is checked; 0 if none is
    checked, None if the system does not report the state that the check needs."""
    event_loop_late_causes: Mapping[str, float] = field(default_factory=dict)
    """Seconds of the last minute in which an event loop that holds leases was late, by cause:
    ``blocking_call``, ``cpu_contention``, ``cpu_quota``, ``interpreter_lock`` or
    ``process_stopped``. Time of unknown cause is left out. Only Linux counts what is needed to know
    a cause."""
    event_loop_busy_at: Mapping[str, int] = field(default_factory=dict)
    """Call sites (``file:line in function``) that kept a late event loop busy in the last minute,
    with the number of checks, one a second, that found it there; the most frequent first."""
    event_loop_stack: tuple[str, ...] = ()
    """Innermost frames of the loop at the first of these; empty if the innermost one differed from
    check to check."""
    ignored_variables: tuple[str, ...] = ()
    """Environment variables that are set and look like pool limits, but that no library reads."""
    gluellm: bool = False
    """Whether GlueLLM is imported, which passes its own clients to the SDKs."""
    any_llm: bool = True
    """Whether any-llm is imported. If not, the application or its SDKs built all clients."""
    frameworks: tuple[str, ...] = ()
    """Imported modules of frameworks that build the SDKs' clients."""
    executors: tuple[ExecutorSnapshot, ...] = ()
    """Executors whose threads send requests."""
    calls_per_minute: int | None = None
    """Limit of GlueLLM's rate limiter for each provider; None if unknown."""
    calls: tuple[CallsSnapshot, ...] = ()
    """LLM calls, by provider and source; empty before the first call and with ``calls=False``."""
    requests_outside_scope: int = 0
    """Requests of pools out of scope. They are counted until the first collection that finds some,
    so this is a lower bound."""
    libraries_observed: tuple[str, ...] = ()
    """Imported libraries whose pools are observed: values of ``gluellm.pool.library``."""
    libraries_unobserved: tuple[str, ...] = ()
    """Imported libraries that are known to send requests past the observed ones."""
    missing_hooks: tuple[str, ...] = ()
    """Hooks that the installed version of a library lacks, such as ``httpx: read``. The log has a
    warning for each, which names what is not observed."""

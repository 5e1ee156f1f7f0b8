"""Every live pool, and what was counted so far, at one moment: frozen, and free of references.

A snapshot holds numbers and text only, so it can be kept, compared and sent: nothing in it keeps a
pool, a connection or a task alive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ..pool.ledger import served


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSnapshot:
    """One connection. Times are seconds."""

    origin: str
    """Host and port as asked for; without the port where there is none."""
    state: str
    """``connecting``, ``active`` or ``idle``."""
    protocol: str
    """``1.1`` or ``2`` of HTTP, or ``websocket``; meaningless while it is connecting."""
    age: float
    """Since it was made."""
    requests_served: int
    streams_active: int | None = None
    """HTTP/2: streams with a request of ours; None on HTTP/1.1."""
    streams_max: int | None = None
    """HTTP/2: the peer's limit."""
    streams_orphaned: int | None = None
    """HTTP/2: streams that nobody reads any more and that the peer still has open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSnapshot:
    """One request that is in a pool. Times are seconds."""

    origin: str
    phase: str
    """One of the telemetry contract's six."""
    phase_age: float
    """How long it has been in that phase; for ``queued``, since it entered the pool."""
    age: float
    """Since it entered the pool."""
    held: float | None = None
    """Since it acquired its connection; None when it has none."""
    connection: int | None = None
    """Index of its connection in the pool's ``connections``; None when it has none."""
    pool_timeout: float | None = None
    """Of a waiting request: how long it waits at most; None when there is no bound."""
    provider: str | None = None
    model: str | None = None
    operation: str | None = None
    trace_id: str | None = None
    """32 hexadecimal digits; None when it belongs to no span."""
    correlation_id: str | None = None
    """GlueLLM's, where there is one."""
    call_site: str | None = None
    """Where the application made the call: ``file:line in function``."""
    stack: tuple[str, ...] = ()
    """The whole stack, the innermost frame first; with ``leak_stacks=True`` only."""
    leak_suspected: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSnapshot:
    """One live pool. Times are seconds."""

    name: str
    provider: str | None
    """any-llm's key; None when unknown, or when requests of its name had several."""
    library: str
    """One of the telemetry contract's values of ``gluellm.pool.library``."""
    age: float
    """Since its first request."""
    requests_entered: int
    """Requests so far, those under way included."""
    max_connections: int | None = None
    """None when unlimited."""
    max_idle_connections: int | None = None
    """None when unlimited."""
    max_connections_per_origin: int | None = None
    """None when there is no such limit."""
    limits_from: str | None = None
    """What set the limits: ``configure_pools()`` in words; None for who built the client."""
    keepalive_expiry: float | None = None
    """How long an idle connection is kept; None when for ever."""
    tcp_keepalive: bool | None = None
    """Whether its sockets have SO_KEEPALIVE; None when unknown."""
    pool_timeout: float | None = None
    """As its last request asked for; None when it waits for ever."""
    read_timeout: float | None = None
    """As its first request asked for; None when it waits for ever."""
    channel_state: str | None = None
    """Of a gRPC channel: ``idle``, ``connecting``, ``ready``, ``transient_failure`` or
    ``shutdown``, as last seen; None for any other pool. A channel tells of no limit and of no
    connection."""
    channel_state_age: float | None = None
    """How long it has been in that state, as far as that was seen."""
    synchronous: bool = False
    """Whether synchronous code uses it, as far as that is known."""
    threads: int | None = None
    """Threads of the executor that sends its requests, which bound them; None where none does."""
    built_at: str | None = None
    """Where the application built it: ``file:line in function``."""
    connections: tuple[ConnectionSnapshot, ...] = ()
    requests: tuple[RequestSnapshot, ...] = ()

    @property
    def label(self) -> str:
        """Name and library, as people are told."""
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
    def queued(self) -> int:
        return sum(1 for request in self.requests if request.phase == "queued")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Requests that left a pool in one way."""

    count: int
    status: int | str | None = None
    """HTTP's, or the name of gRPC's; None where no response's head came."""
    error: str | None = None
    """The contract's ``error.type``; None on success."""
    resend: bool = False
    """Whether these were further requests of any-llm calls that had sent one already."""
    sent: int = 0
    """How many of them acquired a connection. This and the times are given for all but first
    attempts that the provider served."""
    seconds: float = 0.0
    """Their whole time, all together."""
    held_seconds: float = 0.0
    """How much of it they had a connection."""
    provider_seconds: Mapping[str, float] = field(default_factory=dict)
    """How much of it went to ``awaiting_response`` and, at most, to ``reading``."""

    @property
    def served(self) -> bool:
        """Whether the provider gave these requests what they asked for."""
        return served(self.status, self.error)


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginTotals:
    """What all pools of one name did towards one origin for one provider, since ``instrument()``.
    Times are seconds."""

    origin: str
    provider: str | None = None
    """any-llm's key; None when unknown."""
    pools: int
    """Pools that ever asked for it; one that several providers share is counted once."""
    pools_built_at: Mapping[str, int] = field(default_factory=dict)
    """How many of these pools each call site built: ``file:line in function``. Pools whose call
    site is unknown are left out."""
    requests_entered: int
    phase_seconds: Mapping[str, float]
    """Time spent in each phase, finished and running requests together."""
    requests_now: Mapping[str, int]
    """Requests in each phase now."""
    outcomes: tuple[Outcome, ...] = ()
    timeouts: Mapping[str, int]
    """By kind: pool, connect, read, write."""
    reuse_failures: int = 0
    """Requests that failed on a reused connection before the first byte of a response."""
    longest_silence_failed: float = 0.0
    """The longest that a request had waited for bytes when its reused connection failed."""
    requests_on_new_connection: int = 0
    """Requests that waited while their connection was established."""
    requests_resent: int = 0
    """Requests that were not the first of their any-llm call."""
    protocols: tuple[str, ...] = ()
    """What its connections ever spoke: ``1.1`` or ``2`` of HTTP, or ``websocket``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolTotals:
    """What all pools of one name did since ``instrument()``, those that are gone included."""

    name: str
    provider: str | None
    """any-llm's key; None when unknown, or when its requests had several."""
    library: str
    pools_opened: int
    pools_synchronous: int = 0
    """Those among them that synchronous code uses, as far as that is known."""
    pools_live: int
    pools_discarded: int
    connections_opened: int
    connections_closed: Mapping[str, int]
    """By the contract's close reason."""
    requeues: int
    peak_active: int
    """Most connections active or connecting at one moment of the last ``peak_window``."""
    peak_queued: int
    leaks: int
    """Connections ever held unread beyond the leak threshold."""
    anomalies: Mapping[str, int]
    channel_seconds: Mapping[str, float] | None = None
    """Time that its gRPC channels spent in each state; None for other pools, which are the only
    ones that tell of connections."""
    origins: tuple[OriginTotals, ...] = ()

    @property
    def label(self) -> str:
        """Name and library, as people are told."""
        return f"{self.name}/{self.library}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorSnapshot:
    """An executor whose threads send the requests of pools: of SDKs that block."""

    threads: int
    """As many as it has at most."""
    waiting: int
    """Calls that wait for a thread, whatever they are about: they have entered no pool."""
    requests: int
    """Requests that hold a connection in these threads."""
    pools: tuple[str, ...]
    """Name and library of their pools, the one with the most requests first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimiterSnapshot:
    """Calls to one provider that wait in GlueLLM's rate limiter, before any pool. Seconds."""

    provider: str | None
    """any-llm's key; None for calls with an API key of their own and for unknown providers."""
    waiting: int
    longest: float
    """Longest time that one of these has waited."""
    waited: int
    """Attempts that waited since ``instrument()``, those that still wait included."""
    seconds: float
    """Time that they waited since then."""
    calls_per_minute: int | None = None
    """The limit; None where it is unknown."""

    def less(self, before: LimiterSnapshot) -> LimiterSnapshot:
        """What waited since ``before``. Never below 0, should counting have begun anew."""
        return replace(
            self,
            waited=max(0, self.waited - before.waited + min(before.waiting, self.waiting)),
            seconds=max(0.0, self.seconds - before.seconds),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSnapshot:
    """What of the process bears upon its pools."""

    pid: int
    open_descriptors: int | None = None
    """None where the system does not tell."""
    descriptor_limit: int | None = None
    """None when unlimited or unknown."""
    event_loop_lag: float | None = None
    """Worst lateness in seconds of a timer in the last ``peak_window``, on event loops that hold
    leases; None where that is not measured."""
    event_loop_late: float | None = None
    """Seconds that such timers were late since ``instrument()``; with several loops, only the most
    delayed one counts. None where that is not measured."""
    event_loop_late_share: float | None = None
    """Share of the last minute, from 0 to 1, in which such a loop was late. A short pause hardly
    raises it. None where that is not measured."""
    ignored_variables: tuple[str, ...] = ()
    """Environment variables that look like pool limits, are set, and are read by nothing."""
    gluellm: bool = False
    """Whether GlueLLM is imported, which hands its own clients to the SDKs."""
    executors: tuple[ExecutorSnapshot, ...] = ()
    """Those whose threads send requests."""
    limiters: tuple[LimiterSnapshot, ...] = ()
    """GlueLLM's rate limiter, by provider; empty while no call has waited in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Every live pool, the totals by pool name, and the process, at one moment."""

    taken_at: float
    """Seconds since the epoch."""
    uptime: float
    """Seconds of the monotonic clock since ``instrument()``, in a forked child since the fork: what
    the totals cover."""
    leak_threshold: float
    """Seconds; 0 when leaks are not looked for."""
    process: ProcessSnapshot
    pools: tuple[PoolSnapshot, ...] = ()
    totals: tuple[PoolTotals, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The same as dicts, lists, strings, numbers and None, for ``json.dumps``."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain

    def __str__(self) -> str:
        from .text import snapshot_text

        return snapshot_text(self)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(entry) for entry in value]
    return value

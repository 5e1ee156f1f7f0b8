"""The telemetry contract as data: all names, units, descriptions, buckets and attribute keys.

No other module spells them out. The metrics reference, the dashboards and the tests are derived
from this module, so a change here changes the public interface.

Durations are in seconds. Names without the ``gluellm.`` prefix come from the OpenTelemetry semantic
conventions of ``SCHEMA_URL`` or, if these have none, from .NET's ``System.Net.Http`` metrics.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

SCOPE_NAME: Final = "opentelemetry.instrumentation.gluellm"
SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.39.0"
"""First version of the conventions that has all conventional names used here."""

OTHER: Final = "_OTHER"
"""Replacement for a value that is unknown or beyond the bound on the number of values."""

# --- attribute keys -------------------------------------------------------------------------------

PROVIDER_NAME: Final = "gen_ai.provider.name"
POOL_NAME: Final = "gluellm.pool.name"
POOL_LIBRARY: Final = "gluellm.pool.library"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
PROTOCOL_NAME: Final = "network.protocol.name"
PROTOCOL_VERSION: Final = "network.protocol.version"
CONNECTION_STATE: Final = "http.connection.state"
REQUEST_PHASE: Final = "gluellm.request.phase"
STATUS_CODE: Final = "http.response.status_code"
RPC_STATUS_CODE: Final = "rpc.response.status_code"
ERROR_TYPE: Final = "error.type"
TIMEOUT_KIND: Final = "gluellm.timeout.kind"
CLOSE_REASON: Final = "gluellm.connection.close_reason"
DISCARD_REASON: Final = "gluellm.pool.discard_reason"
REQUEST_RESEND: Final = "gluellm.request.resend"
ANOMALY_TYPE: Final = "gluellm.anomaly.type"
CHANNEL_STATE: Final = "gluellm.channel.state"
HOOK_LIBRARY: Final = "gluellm.hook.library"
INSTRUMENTATION_KIND: Final = "gluellm.instrumentation.kind"
REQUEST_MODEL: Final = "gen_ai.request.model"
OPERATION_NAME: Final = "gen_ai.operation.name"
RESPONSE_STREAMING: Final = "gluellm.response.streaming"

# On spans only.
CONNECTION_REUSED: Final = "gluellm.connection.reused"
SPAN_ACQUIRE_DURATION: Final = "gluellm.pool.acquire.duration"
SPAN_CONNECTION_ACTIVE: Final = "gluellm.pool.connection.active"
SPAN_CONNECTION_IDLE: Final = "gluellm.pool.connection.idle"
SPAN_CONNECTION_MAX: Final = "gluellm.pool.connection.max"
SPAN_REQUEST_QUEUED: Final = "gluellm.pool.request.queued"
SPAN_OLDEST_LEASE_AGE: Final = "gluellm.pool.lease.oldest_age"
SPAN_OLDEST_LEASE_PHASE: Final = "gluellm.pool.lease.oldest_phase"
TLS_PROTOCOL_NAME: Final = "tls.protocol.name"
TLS_PROTOCOL_VERSION: Final = "tls.protocol.version"

# --- sets of values -------------------------------------------------------------------------------

PHASES: Final = (
    "queued",
    "connecting",
    "stream_queued",
    "awaiting_response",
    "reading",
    "unread",
)  # in the order of the numbers in pool/phases.py
POOL_LIBRARIES: Final = ("httpx", "httpx2", "aiohttp", "urllib3", "grpc")
HOOK_LIBRARIES: Final = (*POOL_LIBRARIES, "any_llm", "gluellm")
CONNECTION_STATES: Final = ("active", "idle")
PROTOCOL_VERSIONS: Final = ("1.1", "2")
WEBSOCKET: Final = "websocket"
TIMEOUT_KINDS: Final = ("pool", "connect", "read", "write")
CHANNEL_STATES: Final = (
    "idle",
    "connecting",
    "ready",
    "transient_failure",
    "shutdown",
)  # in the order of the numbers in adapters/grpc/channel.py
DISCARD_REASONS: Final = ("closed", "garbage_collected")
ANOMALY_TYPES: Final = (
    "waiter_with_idle_connection",
    "orphaned_connection",
    "pool_timeout_overrun",
)


class ErrorType(StrEnum):
    """Values of ``error.type``. A kind of failure has the same value for every library."""

    POOL_TIMEOUT = "pool_timeout"
    CONNECT_TIMEOUT = "connect_timeout"
    READ_TIMEOUT = "read_timeout"
    WRITE_TIMEOUT = "write_timeout"
    NAME_RESOLUTION_ERROR = "name_resolution_error"
    CONNECTION_ERROR = "connection_error"
    SECURE_CONNECTION_ERROR = "secure_connection_error"
    READ_ERROR = "read_error"
    WRITE_ERROR = "write_error"
    PROTOCOL_ERROR = "protocol_error"
    TOO_MANY_OPEN_FILES = "too_many_open_files"
    NO_LOCAL_PORTS = "no_local_ports"
    CANCELLED = "cancelled"
    OTHER = OTHER


class CloseReason(StrEnum):
    """Values of ``gluellm.connection.close_reason``."""

    KEEPALIVE_EXPIRED = "keepalive_expired"
    KEEPALIVE_LIMIT = "keepalive_limit"
    EVICTED = "evicted"
    SERVER_DISCONNECT = "server_disconnect"
    CONNECTION_CLOSE = "connection_close"
    RESPONSE_INCOMPLETE = "response_incomplete"
    GOAWAY = "goaway"
    ERROR = "error"
    CANCELLED = "cancelled"
    POOL_CLOSED = "pool_closed"
    GARBAGE_COLLECTED = "garbage_collected"


ERROR_TYPES: Final = tuple(error.value for error in ErrorType)
CLOSE_REASONS: Final = tuple(reason.value for reason in CloseReason)

# any-llm's keys of providers that the conventions register under another name. All other keys map
# to themselves: a few are registered under the same name (openai, anthropic, cohere, deepseek,
# groq, perplexity), most are not registered. The conventions use gcp.vertex_ai for all models at
# aiplatform.googleapis.com, including Anthropic's; they have no such rule for Azure.
_REGISTERED_PROVIDERS: Final = {
    "azure": "azure.ai.inference",
    "azureopenai": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertexai": "gcp.vertex_ai",
    "vertexaianthropic": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}


def registered_provider_name(key: str) -> str:
    """Return the value of ``gen_ai.provider.name`` for any-llm's provider key.

    Source: the well-known values of the OpenTelemetry GenAI attribute registry. A key without a
    registered value is returned unchanged.
    """
    return _REGISTERED_PROVIDERS.get(key, key)


# --- descriptions of the keys ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute key of the contract, with its description."""

    key: str
    description: str
    values: tuple[str, ...] = ()
    """All possible values, if the set is closed; else empty."""


ATTRIBUTES: Final = (
    Attribute(
        PROVIDER_NAME,
        "The registered value for any-llm's provider key; the key itself where none is registered. "
        'Left out when unknown, never guessed. See "The provider of a series".',
    ),
    Attribute(
        POOL_NAME,
        "Stable and few: the name that the user gave; else any-llm's provider key; else the SDK "
        "that built the pool; else the library's name. At most 50 names, then `_OTHER`.",
    ),
    Attribute(POOL_LIBRARY, "The library that the pool belongs to.", POOL_LIBRARIES),
    Attribute(
        SERVER_ADDRESS,
        "The origin's host as asked for. Beyond `max_origins` per process, and where it is no "
        "host, it is `_OTHER`.",
    ),
    Attribute(SERVER_PORT, "The origin's port. Left out where the address is `_OTHER`."),
    Attribute(
        PROTOCOL_NAME,
        "What a connection has switched to from HTTP, in place of `network.protocol.version`. "
        "Absent while it speaks HTTP.",
        (WEBSOCKET,),
    ),
    Attribute(PROTOCOL_VERSION, "The HTTP version of the connection.", PROTOCOL_VERSIONS),
    Attribute(CONNECTION_STATE, "What an established connection does.", CONNECTION_STATES),
    Attribute(REQUEST_PHASE, "Where the request is; see the phases above.", PHASES),
    Attribute(STATUS_CODE, "As received. Absent where no response's head came."),
    Attribute(
        RPC_STATUS_CODE,
        "The name of gRPC's status (`OK`, `UNAVAILABLE`, ...), whether the server or the client "
        "library gave it. On gRPC's calls only, instead of HTTP's status.",
    ),
    Attribute(
        CHANNEL_STATE,
        "What a gRPC channel is in, as last seen. `shutdown` is one that is closed and that "
        "somebody still refers to.",
        CHANNEL_STATES,
    ),
    Attribute(
        ERROR_TYPE,
        "Why it failed, the same whichever library raised. Absent on success, and where a server "
        "answered with a status that says so. "
        "`gluellm.pool.acquire.duration` knows `pool_timeout`, `cancelled` and `_OTHER` only.",
        ERROR_TYPES,
    ),
    Attribute(TIMEOUT_KIND, "Which timeout it was.", TIMEOUT_KINDS),
    Attribute(
        CLOSE_REASON,
        "Why a connection was closed. `evicted` is an idle one that made room for another origin, "
        "`connection_close` is what either side asked for in a header, `response_incomplete` is a "
        "response that was closed before it was read to its end.",
        CLOSE_REASONS,
    ),
    Attribute(DISCARD_REASON, "How a pool went.", DISCARD_REASONS),
    Attribute(
        REQUEST_RESEND,
        "`true` for a further request of the same any-llm call; absent otherwise.",
        ("true",),
    ),
    Attribute(ANOMALY_TYPE, "Which state it was.", ANOMALY_TYPES),
    Attribute(HOOK_LIBRARY, "The observed library, `any_llm` or `gluellm`.", HOOK_LIBRARIES),
    Attribute(INSTRUMENTATION_KIND, "What failed, or which kind of record was dropped."),
    Attribute(
        REQUEST_MODEL,
        "The model as any-llm was called with it, at most 256 characters, `?` for what is not "
        "printable. By opt-in on metrics.",
    ),
    Attribute(OPERATION_NAME, "The operation of the any-llm call. By opt-in on metrics."),
    Attribute(RESPONSE_STREAMING, "Whether the response was streamed.", ("true", "false")),
)
"""Attribute keys of metrics. Spans have further ones."""

# --- spans ----------------------------------------------------------------------------------------

SPAN_WAIT: Final = "HTTP wait_for_connection {address}:{port}"
SPAN_SETUP: Final = "HTTP connection_setup {address}:{port}"
SPAN_CONNECT: Final = "socket connect {address}:{port}"
SPAN_TLS: Final = "TLS client handshake {address}"

# --- metrics --------------------------------------------------------------------------------------


class Instrument(StrEnum):
    """Kinds of instruments, named like the classes of the metrics API."""

    OBSERVABLE_COUNTER = "ObservableCounter"
    OBSERVABLE_UP_DOWN_COUNTER = "ObservableUpDownCounter"
    OBSERVABLE_GAUGE = "ObservableGauge"
    HISTOGRAM = "Histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of the contract."""

    name: str
    instrument: Instrument
    unit: str
    description: str
    attributes: tuple[str, ...]
    """Attribute keys that a series of this metric can have."""
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram's buckets, in its unit."""
    full: bool = False
    """Whether it is emitted with ``metrics="full"`` only."""
    setting: str = ""
    """Setting that turns this metric on; empty if it needs none."""
    opt_in_attributes: tuple[str, ...] = ()
    """Attribute keys that are off by default: ``metrics="full"`` turns on
    ``gluellm.response.streaming``, ``model_attributes=True`` the ``gen_ai.`` ones."""


LEVEL_POOL: Final = (PROVIDER_NAME, POOL_NAME, POOL_LIBRARY)
LEVEL_ORIGIN: Final = (*LEVEL_POOL, SERVER_ADDRESS, SERVER_PORT)
_MODEL: Final = (REQUEST_MODEL, OPERATION_NAME)

# fmt: off
_CREATE_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 30.0)
_ACQUIRE_BUCKETS: Final = (
    0.0, 0.005, 0.05, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 30.0, 60.0, 120.0, 300.0, 600.0,
)
_LEASE_BUCKETS: Final = (
    0.05, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0,
)
_LIFETIME_BUCKETS: Final = (
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0,
    2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
)
_REQUESTS_BUCKETS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
_TIME_IN_QUEUE_BUCKETS: Final = (
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25,
    0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
)
# fmt: on

_COUNTER: Final = Instrument.OBSERVABLE_COUNTER
_UP_DOWN_COUNTER: Final = Instrument.OBSERVABLE_UP_DOWN_COUNTER
_GAUGE: Final = Instrument.OBSERVABLE_GAUGE
_HISTOGRAM: Final = Instrument.HISTOGRAM

# Connections.
OPEN_CONNECTIONS: Final = Metric(
    "http.client.open_connections",
    _UP_DOWN_COUNTER,
    "{connection}",
    (
        "Established connections. Idle ones include what has expired or was closed by the "
        "peer, until the pool drops it."
    ),
    (*LEVEL_ORIGIN, CONNECTION_STATE, PROTOCOL_VERSION, PROTOCOL_NAME),
)
CONNECTION_CONNECTING: Final = Metric(
    "gluellm.pool.connection.connecting",
    _UP_DOWN_COUNTER,
    "{connection}",
    "Connections being established.",
    LEVEL_ORIGIN,
)
CONNECTION_MAX: Final = Metric(
    "gluellm.pool.connection.max",
    _UP_DOWN_COUNTER,
    "{connection}",
    "Upper bound on connections. Left out when there is none.",
    LEVEL_POOL,
)
CONNECTION_IDLE_MAX: Final = Metric(
    "gluellm.pool.connection.idle.max",
    _UP_DOWN_COUNTER,
    "{connection}",
    "Upper bound on idle connections. Left out when there is none.",
    LEVEL_POOL,
)
OCCUPANCY_RATIO: Final = Metric(
    "gluellm.pool.occupancy.ratio",
    _GAUGE,
    "1",
    "(Active + connecting) / max of the fullest pool of this name.",
    LEVEL_POOL,
)
PEAK_ACTIVE: Final = Metric(
    "gluellm.pool.peak.active",
    _GAUGE,
    "{connection}",
    (
        "Most connections active or connecting at one moment of the window, summed over the "
        "name's pools. Kept when a pool is gone."
    ),
    LEVEL_POOL,
)
CONNECTION_OPENED: Final = Metric(
    "gluellm.pool.connection.opened",
    _COUNTER,
    "{connection}",
    "Connections established.",
    LEVEL_POOL,
)
CONNECTION_CLOSED: Final = Metric(
    "gluellm.pool.connection.closed",
    _COUNTER,
    "{connection}",
    "Connections closed, by reason.",
    (*LEVEL_POOL, CLOSE_REASON),
)
CONNECTION_CREATE_DURATION: Final = Metric(
    "gluellm.pool.connection.create.duration",
    _HISTOGRAM,
    "s",
    (
        "Time to establish a connection: TCP, TLS and proxy. Of failures, connect_timeout, "
        "secure_connection_error and cancelled are told apart; the rest is a connection_error."
    ),
    (*LEVEL_ORIGIN, ERROR_TYPE),
    _CREATE_BUCKETS,
)
REUSE_FAILURES: Final = Metric(
    "gluellm.pool.reuse.failures",
    _COUNTER,
    "{request}",
    (
        "Requests that failed on a reused connection before the first byte of a response, as "
        "when a load balancer drops idle connections."
    ),
    LEVEL_ORIGIN,
)

# Requests.
ACTIVE_REQUESTS: Final = Metric(
    "http.client.active_requests",
    _UP_DOWN_COUNTER,
    "{request}",
    "Requests in any phase.",
    LEVEL_ORIGIN,
)
REQUEST_CURRENT: Final = Metric(
    "gluellm.pool.request.current",
    _UP_DOWN_COUNTER,
    "{request}",
    "Requests in this phase now.",
    (*LEVEL_ORIGIN, REQUEST_PHASE),
)
REQUEST_OLDEST_AGE: Final = Metric(
    "gluellm.pool.request.oldest_age",
    _GAUGE,
    "s",
    "How long the longest has been in this phase. 0 when none is.",
    (*LEVEL_POOL, REQUEST_PHASE),
)
REQUEST_TIME: Final = Metric(
    "gluellm.pool.request.time",
    _COUNTER,
    "s",
    (
        "Time spent in this phase, finished and running requests together. Its rate is the "
        "mean number of requests in the phase."
    ),
    (*LEVEL_ORIGIN, REQUEST_PHASE),
)
REQUESTS: Final = Metric(
    "gluellm.pool.requests",
    _COUNTER,
    "{request}",
    "Requests that left the pool.",
    (*LEVEL_ORIGIN, STATUS_CODE, RPC_STATUS_CODE, ERROR_TYPE, REQUEST_RESEND),
)
PEAK_QUEUED: Final = Metric(
    "gluellm.pool.peak.queued",
    _GAUGE,
    "{request}",
    "Most requests queued at one moment of the window.",
    LEVEL_POOL,
)
ACQUIRE_DURATION: Final = Metric(
    "gluellm.pool.acquire.duration",
    _HISTOGRAM,
    "s",
    (
        "Time queued for a connection, an immediate acquire as exactly 0. Ends at the "
        "assignment that was not refused."
    ),
    (*LEVEL_ORIGIN, ERROR_TYPE),
    _ACQUIRE_BUCKETS,
    opt_in_attributes=_MODEL,
)
LEASE_DURATION: Final = Metric(
    "gluellm.pool.lease.duration",
    _HISTOGRAM,
    "s",
    "Time from acquire to release. For a streamed answer, to the end of the stream.",
    LEVEL_ORIGIN,
    _LEASE_BUCKETS,
    opt_in_attributes=(RESPONSE_STREAMING, *_MODEL),
)
ACQUIRE_TIMEOUT: Final = Metric(
    "gluellm.pool.acquire.timeout",
    _GAUGE,
    "s",
    "Pool timeout as last asked for. Left out when there is none.",
    LEVEL_POOL,
)
TIMEOUTS: Final = Metric(
    "gluellm.pool.timeouts",
    _COUNTER,
    "{timeout}",
    "Requests that ended in a timeout, by kind.",
    (*LEVEL_ORIGIN, TIMEOUT_KIND),
)
REQUEUES: Final = Metric(
    "gluellm.pool.requeues",
    _COUNTER,
    "{request}",
    "Requests sent back to the queue because the assigned connection turned out unusable.",
    LEVEL_POOL,
)

# Pools.
POOL_LIVE: Final = Metric(
    "gluellm.pool.live",
    _UP_DOWN_COUNTER,
    "{pool}",
    "Pools alive that have served a request.",
    LEVEL_POOL,
)
POOL_OPENED: Final = Metric(
    "gluellm.pool.opened", _COUNTER, "{pool}", "Pools that served their first request.", LEVEL_POOL
)
POOL_DISCARDED: Final = Metric(
    "gluellm.pool.discarded",
    _COUNTER,
    "{pool}",
    "Pools gone, by reason.",
    (*LEVEL_POOL, DISCARD_REASON),
)
LEAK_SUSPECTED: Final = Metric(
    "gluellm.pool.leak.suspected",
    _UP_DOWN_COUNTER,
    "{connection}",
    "Connections held over the leak threshold now.",
    LEVEL_POOL,
)
LEAKS: Final = Metric(
    "gluellm.pool.leaks",
    _COUNTER,
    "{connection}",
    "Connections ever held over the leak threshold.",
    LEVEL_POOL,
)
STREAM_ACTIVE: Final = Metric(
    "gluellm.pool.stream.active",
    _UP_DOWN_COUNTER,
    "{stream}",
    "HTTP/2 streams with a request under way.",
    (*LEVEL_ORIGIN, PROTOCOL_VERSION),
)
STREAM_MAX: Final = Metric(
    "gluellm.pool.stream.max",
    _UP_DOWN_COUNTER,
    "{stream}",
    "Limit on HTTP/2 streams in effect: the peer's, or the client's own where that is lower.",
    (*LEVEL_ORIGIN, PROTOCOL_VERSION),
)
STREAM_ORPHANED: Final = Metric(
    "gluellm.pool.stream.orphaned",
    _UP_DOWN_COUNTER,
    "{stream}",
    (
        "HTTP/2 streams whose request is over while the peer still has them open: they count "
        "against its limit."
    ),
    (*LEVEL_ORIGIN, PROTOCOL_VERSION),
)
ANOMALIES: Final = Metric(
    "gluellm.pool.anomalies",
    _COUNTER,
    "{anomaly}",
    "States that a pool should never be in, by type.",
    (*LEVEL_POOL, ANOMALY_TYPE),
)

# gRPC channels.
CHANNEL_CURRENT: Final = Metric(
    "gluellm.pool.channel.current",
    _UP_DOWN_COUNTER,
    "{channel}",
    "gRPC channels in this state now, as last seen.",
    (*LEVEL_POOL, CHANNEL_STATE),
)
CHANNEL_TIME: Final = Metric(
    "gluellm.pool.channel.time",
    _COUNTER,
    "s",
    (
        "Time that gRPC channels spent in this state, as far as it was seen. Its rate is the mean "
        "number of channels in the state."
    ),
    (*LEVEL_POOL, CHANNEL_STATE),
)

# The process.
EVENT_LOOP_LATE_TIME: Final = Metric(
    "gluellm.event_loop.late.time",
    _COUNTER,
    "s",
    (
        "Time by which timers ran late on event loops with requests; with several loops, only the "
        "most delayed one counts. Its rate is the share of time in which a loop was late. Above "
        "20 %, waits say nothing about pool or provider. 0 from `instrument()` on; loops of trio "
        "are not covered."
    ),
    (),
)
EVENT_LOOP_LAG_PEAK: Final = Metric(
    "gluellm.event_loop.lag.peak",
    _GAUGE,
    "s",
    (
        "Worst lateness of a timer in the window, on event loops that hold leases. One pause "
        "raises it for the whole window: `gluellm.event_loop.late.time` tells whether it matters."
    ),
    (),
)
HOOK_MISSING: Final = Metric(
    "gluellm.instrumentation.hook.missing",
    _UP_DOWN_COUNTER,
    "{hook}",
    (
        "Number of hooks that the installed version of a library lacks; 0 when all work. From "
        "`instrument()` on, before any pool exists; of a library that is imported later, from its "
        "import on. Which hooks and which metrics stop: in the log and the snapshot."
    ),
    (HOOK_LIBRARY,),
)
INSTRUMENTATION_ERRORS: Final = Metric(
    "gluellm.instrumentation.errors",
    _COUNTER,
    "{error}",
    "The instrumentation's own failures that were caught.",
    (INSTRUMENTATION_KIND,),
)
INSTRUMENTATION_DROPPED: Final = Metric(
    "gluellm.instrumentation.dropped",
    _COUNTER,
    "{record}",
    "Records dropped by the bounded buffer.",
    (INSTRUMENTATION_KIND,),
)

# With metrics="full".
RESPONSE_WAIT_DURATION: Final = Metric(
    "gluellm.pool.response.wait.duration",
    _HISTOGRAM,
    "s",
    "Time from the request being sent to the head of its response.",
    LEVEL_ORIGIN,
    _LEASE_BUCKETS,
    full=True,
)
CONNECTION_TLS_DURATION: Final = Metric(
    "gluellm.pool.connection.tls.duration",
    _HISTOGRAM,
    "s",
    "Time of the TLS handshake.",
    (*LEVEL_ORIGIN, ERROR_TYPE),
    _CREATE_BUCKETS,
    full=True,
)
STREAM_ACQUIRE_DURATION: Final = Metric(
    "gluellm.pool.stream.acquire.duration",
    _HISTOGRAM,
    "s",
    "Time queued for an HTTP/2 stream.",
    (*LEVEL_ORIGIN, PROTOCOL_VERSION),
    _ACQUIRE_BUCKETS,
    full=True,
)
CONNECTION_DURATION: Final = Metric(
    "http.client.connection.duration",
    _HISTOGRAM,
    "s",
    "Time from a connection being established to its close.",
    (*LEVEL_ORIGIN, PROTOCOL_VERSION, PROTOCOL_NAME),
    _LIFETIME_BUCKETS,
    full=True,
)
CONNECTION_REQUESTS: Final = Metric(
    "gluellm.pool.connection.requests",
    _HISTOGRAM,
    "{request}",
    "Requests that a connection served before its close.",
    LEVEL_ORIGIN,
    _REQUESTS_BUCKETS,
    full=True,
)

# With a setting of its own.
REQUEST_TIME_IN_QUEUE: Final = Metric(
    "http.client.request.time_in_queue",
    _HISTOGRAM,
    "s",
    "Time queued for a connection, of those requests only that had to wait (as .NET counts it).",
    LEVEL_ORIGIN,
    _TIME_IN_QUEUE_BUCKETS,
    setting="time_in_queue",
)

METRICS: Final = (
    OPEN_CONNECTIONS,
    CONNECTION_CONNECTING,
    CONNECTION_MAX,
    CONNECTION_IDLE_MAX,
    OCCUPANCY_RATIO,
    PEAK_ACTIVE,
    CONNECTION_OPENED,
    CONNECTION_CLOSED,
    CONNECTION_CREATE_DURATION,
    REUSE_FAILURES,
    ACTIVE_REQUESTS,
    REQUEST_CURRENT,
    REQUEST_OLDEST_AGE,
    REQUEST_TIME,
    REQUESTS,
    PEAK_QUEUED,
    ACQUIRE_DURATION,
    LEASE_DURATION,
    ACQUIRE_TIMEOUT,
    TIMEOUTS,
    REQUEUES,
    POOL_LIVE,
    POOL_OPENED,
    POOL_DISCARDED,
    LEAK_SUSPECTED,
    LEAKS,
    STREAM_ACTIVE,
    STREAM_MAX,
    STREAM_ORPHANED,
    ANOMALIES,
    CHANNEL_CURRENT,
    CHANNEL_TIME,
    EVENT_LOOP_LATE_TIME,
    EVENT_LOOP_LAG_PEAK,
    HOOK_MISSING,
    INSTRUMENTATION_ERRORS,
    INSTRUMENTATION_DROPPED,
    RESPONSE_WAIT_DURATION,
    CONNECTION_TLS_DURATION,
    STREAM_ACQUIRE_DURATION,
    CONNECTION_DURATION,
    CONNECTION_REQUESTS,
    REQUEST_TIME_IN_QUEUE,
)
"""All metrics of the contract, in its order."""

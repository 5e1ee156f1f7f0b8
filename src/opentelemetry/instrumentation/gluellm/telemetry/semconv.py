"""The telemetry contract as data: all names, units, descriptions, buckets and attribute keys.

No other module spells them out. The metrics reference, the dashboards and the tests are derived
from this module, so a change here changes the public interface.

Durations are in seconds. Names without the ``gluellm.`` prefix come from the OpenTelemetry semantic
conventions of ``SCHEMA_URL`` or, if these have none, from .NET's ``System.Net.Http`` metrics.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, Final

from ..pool.phases import OUTCOMES as OUTCOMES
from ..pool.phases import PHASES as PHASES
from ..pool.phases import SOURCES as SOURCES
from ..pool.phases import STAGES as STAGES
from ..pool.phases import STEPS as STEPS
from ..pool.phases import WEBSOCKET as WEBSOCKET

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
CONNECTION_STEP: Final = "gluellm.connection.step"
DNS_QUESTION_NAME: Final = "dns.question.name"
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
CALL_STAGE: Final = "gluellm.call.stage"
CALL_OUTCOME: Final = "gluellm.call.outcome"
CALL_SOURCE: Final = "gluellm.call.source"

# On spans only.
CONNECTION_REUSED: Final = "gluellm.connection.reused"
SPAN_ACQUIRE_DURATION: Final = "gluellm.pool.acquire.duration"
SPAN_CONNECTION_ACTIVE: Final = "gluellm.pool.connection.active"
SPAN_CONNECTION_IDLE: Final = "gluellm.pool.connection.idle"
SPAN_CONNECTION_MAX: Final = "gluellm.pool.connection.max"
SPAN_REQUEST_QUEUED: Final = "gluellm.pool.request.queued"
SPAN_OLDEST_LEASE_AGE: Final = "gluellm.pool.lease.oldest_age"
SPAN_OLDEST_LEASE_PHASE: Final = "gluellm.pool.lease.oldest_phase"
SPAN_STEP_TIME: Final = "gluellm.connection.create.time."
"""Prefix; the name of the step follows."""
NETWORK_TYPE: Final = "network.type"
SPAN_CALL_RETRIES: Final = "gluellm.call.retries"
SPAN_CALL_TIME: Final = "gluellm.call.time.{stage}"
SPAN_CALL_REQUEST_TIME: Final = "gluellm.call.request.time.{phase}"
TLS_PROTOCOL_NAME: Final = "tls.protocol.name"
TLS_PROTOCOL_VERSION: Final = "tls.protocol.version"

# --- sets of values -------------------------------------------------------------------------------

POOL_LIBRARIES: Final = ("httpx", "httpx2", "aiohttp", "urllib3", "grpc")
HOOK_LIBRARIES: Final = (*POOL_LIBRARIES, "any_llm", "gluellm")
CONNECTION_STATES: Final = ("active", "idle")
PROTOCOL_VERSIONS: Final = ("1.1", "2")
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
    "wrong_event_loop",
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


ERROR_TYPES: Final = tuple(error.value for error in ErrorType)
CLOSE_REASONS: Final = (
    "keepalive_expired",
    "keepalive_limit",
    "evicted",
    "server_disconnect",
    "connection_close",
    "response_incomplete",
    "goaway",
    "error",
    "cancelled",
    "pool_closed",
    "garbage_collected",
)

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
        "Registered value for any-llm's provider key, or the key itself if none is registered. "
        'Absent if the provider is unknown. See "The provider of a series".',
    ),
    Attribute(
        POOL_NAME,
        "The name that the user gave; else any-llm's provider key; else the SDK that built the "
        "pool; else the library's name. At most 50 names, then `_OTHER`.",
    ),
    Attribute(POOL_LIBRARY, "Library that the pool belongs to.", POOL_LIBRARIES),
    Attribute(
        SERVER_ADDRESS,
        "Host of the requested origin. `_OTHER` beyond `max_origins` per process, and for what is "
        "not a host.",
    ),
    Attribute(SERVER_PORT, "Port of the origin. Absent if the address is `_OTHER`."),
    Attribute(
        PROTOCOL_NAME,
        "Protocol that the connection switched to from HTTP, in place of "
        "`network.protocol.version`. Absent on HTTP connections.",
        (WEBSOCKET,),
    ),
    Attribute(PROTOCOL_VERSION, "HTTP version of the connection.", PROTOCOL_VERSIONS),
    Attribute(CONNECTION_STATE, "State of an established connection.", CONNECTION_STATES),
    Attribute(REQUEST_PHASE, "Phase of the request; see the phases above.", PHASES),
    Attribute(STATUS_CODE, "Status as received. Absent if no response head was received."),
    Attribute(
        RPC_STATUS_CODE,
        "Name of gRPC's status (`OK`, `UNAVAILABLE`, ...), set by the server or by the client "
        "library. Only on gRPC calls, instead of the HTTP status.",
    ),
    Attribute(
        CHANNEL_STATE,
        "State of a gRPC channel, as last observed. `shutdown` is a closed channel that the "
        "application still refers to.",
        CHANNEL_STATES,
    ),
    Attribute(
        ERROR_TYPE,
        "Kind of failure, with the same value for every library. Absent on success, and if the "
        "server answered with an error status. `gluellm.pool.acquire.duration` has only "
        "`pool_timeout`, `cancelled` and `_OTHER`. On calls, the first that applies: `timeout` if "
        "the call timed out and its last request was cancelled; the failure of its last request; "
        "the status of that request if it is at least 400; the class of the exception (at most 20 "
        "different ones).",
        ERROR_TYPES,
    ),
    Attribute(TIMEOUT_KIND, "Kind of timeout.", TIMEOUT_KINDS),
    Attribute(
        CONNECTION_STEP,
        "Step of establishing a connection. `proxy`: until a proxy has opened the way to the "
        "origin. `other`: what the library does not show, and pauses between attempts.",
        STEPS,
    ),
    Attribute(DNS_QUESTION_NAME, "Name that was resolved. `_OTHER` beyond `max_origins`."),
    Attribute(
        CLOSE_REASON,
        "Why a connection was closed. `evicted`: idle, closed to make room for another origin. "
        "`connection_close`: requested by either side in a header. `response_incomplete`: its "
        "response was closed before it was read to its end.",
        CLOSE_REASONS,
    ),
    Attribute(DISCARD_REASON, "Why a pool is gone.", DISCARD_REASONS),
    Attribute(
        REQUEST_RESEND,
        "`true` for a request that `gluellm.call.retries` counts; absent otherwise.",
        ("true",),
    ),
    Attribute(ANOMALY_TYPE, "Kind of anomaly.", ANOMALY_TYPES),
    Attribute(HOOK_LIBRARY, "The observed library, `any_llm` or `gluellm`.", HOOK_LIBRARIES),
    Attribute(INSTRUMENTATION_KIND, "What failed, or which kind of record was dropped."),
    Attribute(
        REQUEST_MODEL,
        "Model passed to any-llm, at most 256 characters, with `?` for unprintable ones. By "
        "opt-in on metrics.",
    ),
    Attribute(
        OPERATION_NAME,
        "Operation of the any-llm call. On metrics of requests, it is opt-in. On metrics of calls, "
        "there are at most 6 different ones, then `_OTHER`.",
    ),
    Attribute(CALL_STAGE, "Stage of the call; see the stages above.", STAGES),
    Attribute(
        CALL_OUTCOME,
        "How the call ended. `abandoned`: its stream was closed or dropped before its end.",
        OUTCOMES,
    ),
    Attribute(CALL_SOURCE, "Library whose call is counted: that of the outermost call.", SOURCES),
    Attribute(RESPONSE_STREAMING, "Whether the response was streamed.", ("true", "false")),
)
"""Attribute keys of metrics. Spans have further ones."""

# --- spans ----------------------------------------------------------------------------------------

SPAN_WAIT: Final = "HTTP wait_for_connection {address}:{port}"
SPAN_SETUP: Final = "HTTP connection_setup {address}:{port}"
SPAN_CONNECT: Final = "socket connect {address}:{port}"
SPAN_TLS: Final = "TLS client handshake {address}"
SPAN_CALL: Final = "gluellm.call"

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

    instrument: Instrument
    name: str
    unit: str
    attributes: tuple[str, ...]
    """Attribute keys that a series of this metric can have."""
    description: str
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
LEVEL_CALL: Final = (PROVIDER_NAME, CALL_SOURCE)
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
_CALL_BUCKETS: Final = (
    0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0,
    60.0, 120.0, 300.0, 600.0,
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


_counter = partial(Metric, Instrument.OBSERVABLE_COUNTER)
_up_down_counter = partial(Metric, Instrument.OBSERVABLE_UP_DOWN_COUNTER)
_gauge = partial(Metric, Instrument.OBSERVABLE_GAUGE)


def _histogram(
    name: str,
    buckets: tuple[float, ...],
    attributes: tuple[str, ...],
    description: str,
    unit: str = "s",
    **further: Any,
) -> Metric:
    return Metric(Instrument.HISTOGRAM, name, unit, attributes, description, buckets, **further)


# Connections.
OPEN_CONNECTIONS: Final = _up_down_counter(
    "http.client.open_connections",
    "{connection}",
    (*LEVEL_ORIGIN, CONNECTION_STATE, PROTOCOL_VERSION, PROTOCOL_NAME),
    "Established connections. An idle one that expired or was closed by the peer counts until "
    "the pool drops it.",
)
CONNECTION_CONNECTING: Final = _up_down_counter(
    "gluellm.pool.connection.connecting",
    "{connection}",
    LEVEL_ORIGIN,
    "Connections being established.",
)
CONNECTION_MAX: Final = _up_down_counter(
    "gluellm.pool.connection.max",
    "{connection}",
    LEVEL_POOL,
    "Limit on connections. Absent if there is none.",
)
CONNECTION_IDLE_MAX: Final = _up_down_counter(
    "gluellm.pool.connection.idle.max",
    "{connection}",
    LEVEL_POOL,
    "Limit on idle connections. Absent if there is none.",
)
OCCUPANCY_RATIO: Final = _gauge(
    "gluellm.pool.occupancy.ratio",
    "1",
    LEVEL_POOL,
    "(Active + connecting) / max of the fullest pool of this name.",
)
PEAK_ACTIVE: Final = _gauge(
    "gluellm.pool.peak.active",
    "{connection}",
    LEVEL_POOL,
    "Largest number of connections that were active or connecting at one moment of the "
    "window, summed over the name's pools. Pools that are gone are included.",
)
CONNECTION_OPENED: Final = _counter(
    "gluellm.pool.connection.opened", "{connection}", LEVEL_POOL, "Connections established."
)
CONNECTION_CLOSED: Final = _counter(
    "gluellm.pool.connection.closed",
    "{connection}",
    (*LEVEL_POOL, CLOSE_REASON),
    "Connections closed, by reason.",
)
CONNECTION_CREATE_DURATION: Final = _histogram(
    "gluellm.pool.connection.create.duration",
    _CREATE_BUCKETS,
    (*LEVEL_ORIGIN, ERROR_TYPE),
    "Time to establish a connection: TCP, TLS and proxy. A failure is a connect_timeout, "
    "secure_connection_error, cancelled or, whatever else it was, a connection_error.",
)
CONNECTION_CREATE_TIME: Final = _counter(
    "gluellm.pool.connection.create.time",
    "s",
    (*LEVEL_ORIGIN, CONNECTION_STEP),
    "Time spent in each step of establishing connections, by finished, failed and running "
    "set-ups. Its rate is the mean number of connections in the step.",
)
REUSE_FAILURES: Final = _counter(
    "gluellm.pool.reuse.failures",
    "{request}",
    LEVEL_ORIGIN,
    "Requests that failed on a reused connection before the first byte of a response. Load "
    "balancers that drop idle connections cause this.",
)

# Requests.
ACTIVE_REQUESTS: Final = _up_down_counter(
    "http.client.active_requests", "{request}", LEVEL_ORIGIN, "Requests in any phase."
)
REQUEST_CURRENT: Final = _up_down_counter(
    "gluellm.pool.request.current",
    "{request}",
    (*LEVEL_ORIGIN, REQUEST_PHASE),
    "Requests in this phase now.",
)
REQUEST_OLDEST_AGE: Final = _gauge(
    "gluellm.pool.request.oldest_age",
    "s",
    (*LEVEL_POOL, REQUEST_PHASE),
    "Age of the oldest request in this phase; 0 if there is none.",
)
REQUEST_TIME: Final = _counter(
    "gluellm.pool.request.time",
    "s",
    (*LEVEL_ORIGIN, REQUEST_PHASE),
    "Time spent in this phase by finished and running requests. Its rate is the mean number "
    "of requests in the phase.",
)
REQUESTS: Final = _counter(
    "gluellm.pool.requests",
    "{request}",
    (*LEVEL_ORIGIN, STATUS_CODE, RPC_STATUS_CODE, ERROR_TYPE, REQUEST_RESEND),
    "Requests that left the pool.",
)
PEAK_QUEUED: Final = _gauge(
    "gluellm.pool.peak.queued",
    "{request}",
    LEVEL_POOL,
    "Largest number of requests that were queued at one moment of the window.",
)
ACQUIRE_DURATION: Final = _histogram(
    "gluellm.pool.acquire.duration",
    _ACQUIRE_BUCKETS,
    (*LEVEL_ORIGIN, ERROR_TYPE),
    "Time queued for a connection; exactly 0 for an immediate acquire. Ends when a connection "
    "takes the request.",
    opt_in_attributes=_MODEL,
)
LEASE_DURATION: Final = _histogram(
    "gluellm.pool.lease.duration",
    _LEASE_BUCKETS,
    LEVEL_ORIGIN,
    "Time from acquire to release. For a streamed answer, to the end of the stream.",
    opt_in_attributes=(RESPONSE_STREAMING, *_MODEL),
)
LEASE_OLDEST_AGE: Final = _gauge(
    "gluellm.pool.lease.oldest_age",
    "s",
    LEVEL_POOL,
    "Age of the longest-held lease; 0 if no connection is held. It keeps growing until the lease "
    "ends, even if pings restart the phases.",
)
ACQUIRE_TIMEOUT: Final = _gauge(
    "gluellm.pool.acquire.timeout",
    "s",
    LEVEL_POOL,
    "Pool timeout of the most recent request. Absent if it had none.",
)
TIMEOUTS: Final = _counter(
    "gluellm.pool.timeouts",
    "{timeout}",
    (*LEVEL_ORIGIN, TIMEOUT_KIND),
    "Requests that ended in a timeout, by kind.",
)
REQUEUES: Final = _counter(
    "gluellm.pool.requeues",
    "{request}",
    LEVEL_POOL,
    "Requests sent back to the queue because the assigned connection turned out to be unusable.",
)

# Calls.
CALL_CURRENT: Final = _up_down_counter(
    "gluellm.call.current", "{call}", (*LEVEL_CALL, CALL_STAGE), "Calls in this stage now."
)
CALL_OLDEST_AGE: Final = _gauge(
    "gluellm.call.oldest_age",
    "s",
    (*LEVEL_CALL, CALL_STAGE),
    "Longest time that a call has been in this stage without leaving it; 0 if there is none.",
)
CALL_TIME: Final = _counter(
    "gluellm.call.time",
    "s",
    (*LEVEL_CALL, CALL_STAGE),
    "Time spent in this stage by finished and running calls. Its rate is the mean number of calls "
    "in the stage.",
)
CALL_SILENCE: Final = _gauge(
    "gluellm.call.silence.oldest_age",
    "s",
    LEVEL_CALL,
    "Longest time that the application has been waiting for the next item of a streamed call. "
    "Bytes without an item, such as pings, do not end the wait. Absent until a call is streamed.",
)
CALL_SILENT: Final = _up_down_counter(
    "gluellm.call.silent",
    "{call}",
    LEVEL_CALL,
    "Calls in `requesting` whose wait for the provider is longer than `silence_threshold` and "
    "three times the longest such wait of the last hour, or of the last 100 waits if these took "
    "longer. The wait is that for the next item of a stream or, for a call that is not streamed, "
    "the time in `requesting`.",
)
CALLS: Final = _counter(
    "gluellm.calls",
    "{call}",
    (*LEVEL_CALL, CALL_OUTCOME, OPERATION_NAME),
    "Calls that ended, by outcome.",
)
CALL_ERRORS: Final = _counter(
    "gluellm.call.errors", "{call}", (*LEVEL_CALL, ERROR_TYPE), "Failed calls, by kind of failure."
)
CALL_RETRIES: Final = _counter(
    "gluellm.call.retries",
    "{request}",
    LEVEL_CALL,
    "Requests that were the first of their call after it backed off.",
)
CALL_DURATION: Final = _histogram(
    "gluellm.call.duration",
    _CALL_BUCKETS,
    (*LEVEL_CALL, OPERATION_NAME),
    "Duration of a call with its retries; a streamed call lasts until its stream ends.",
    opt_in_attributes=(REQUEST_MODEL,),
)

# Pools.
POOL_LIVE: Final = _up_down_counter(
    "gluellm.pool.live", "{pool}", LEVEL_POOL, "Pools alive that have served a request."
)
POOL_OPENED: Final = _counter(
    "gluellm.pool.opened", "{pool}", LEVEL_POOL, "Pools that served their first request."
)
POOL_DISCARDED: Final = _counter(
    "gluellm.pool.discarded",
    "{pool}",
    (*LEVEL_POOL, DISCARD_REASON),
    "Pools that are gone, by reason.",
)
LEAK_SUSPECTED: Final = _up_down_counter(
    "gluellm.pool.leak.suspected",
    "{connection}",
    LEVEL_POOL,
    "Connections held unread beyond the leak threshold now.",
)
LEAKS: Final = _counter(
    "gluellm.pool.leaks",
    "{connection}",
    LEVEL_POOL,
    "Connections that were held unread beyond the leak threshold.",
)
STREAM_ACTIVE: Final = _up_down_counter(
    "gluellm.pool.stream.active",
    "{stream}",
    (*LEVEL_ORIGIN, PROTOCOL_VERSION),
    "HTTP/2 streams with a request in flight.",
)
STREAM_MAX: Final = _up_down_counter(
    "gluellm.pool.stream.max",
    "{stream}",
    (*LEVEL_ORIGIN, PROTOCOL_VERSION),
    "Effective limit on HTTP/2 streams: the lower one of the peer's and the client's own.",
)
STREAM_ORPHANED: Final = _up_down_counter(
    "gluellm.pool.stream.orphaned",
    "{stream}",
    (*LEVEL_ORIGIN, PROTOCOL_VERSION),
    "HTTP/2 streams whose request has ended while the peer keeps them open. They count "
    "against its limit.",
)
ANOMALIES: Final = _counter(
    "gluellm.pool.anomalies",
    "{anomaly}",
    (*LEVEL_POOL, ANOMALY_TYPE),
    "States that a pool should never be in, and requests that failed since their client is used on "
    "a second event loop, by type.",
)

# gRPC channels.
CHANNEL_CURRENT: Final = _up_down_counter(
    "gluellm.pool.channel.current",
    "{channel}",
    (*LEVEL_POOL, CHANNEL_STATE),
    "gRPC channels in this state now, as last observed.",
)
CHANNEL_TIME: Final = _counter(
    "gluellm.pool.channel.time",
    "s",
    (*LEVEL_POOL, CHANNEL_STATE),
    "Observed time that gRPC channels spent in this state. Its rate is the mean number of "
    "channels in the state.",
)

# The process.
EVENT_LOOP_LATE_TIME: Final = _counter(
    "gluellm.event_loop.late.time",
    "s",
    (),
    "Time by which timers ran late on event loops with requests. With several loops, only the "
    "most delayed one counts. Its rate is the share of time in which a loop was late. Above "
    "20 %, waits give no information about pool or provider. 0 from `instrument()` on; loops "
    "of trio are not covered.",
)
EVENT_LOOP_LAG_PEAK: Final = _gauge(
    "gluellm.event_loop.lag.peak",
    "s",
    (),
    "Worst lateness of a timer in the window, on event loops that hold leases. One pause "
    "raises it for the whole window: `gluellm.event_loop.late.time` shows whether it matters.",
)
HOOK_MISSING: Final = _up_down_counter(
    "gluellm.instrumentation.hook.missing",
    "{hook}",
    (HOOK_LIBRARY,),
    "Number of hooks that the installed version of a library lacks; 0 if all work. Reported "
    "from `instrument()` on, before any pool exists, or from the library's import on if that "
    "is later. The log and the snapshot name the hooks and the metrics that stop.",
)
INSTRUMENTATION_ERRORS: Final = _counter(
    "gluellm.instrumentation.errors",
    "{error}",
    (INSTRUMENTATION_KIND,),
    "Failures of the instrumentation that were caught.",
)
INSTRUMENTATION_DROPPED: Final = _counter(
    "gluellm.instrumentation.dropped",
    "{record}",
    (INSTRUMENTATION_KIND,),
    "Records dropped by the bounded buffer.",
)

# With metrics="full".
RESPONSE_WAIT_DURATION: Final = _histogram(
    "gluellm.pool.response.wait.duration",
    _LEASE_BUCKETS,
    LEVEL_ORIGIN,
    "Time from the request being sent to the head of its response.",
    full=True,
)
CONNECTION_TLS_DURATION: Final = _histogram(
    "gluellm.pool.connection.tls.duration",
    _CREATE_BUCKETS,
    (*LEVEL_ORIGIN, ERROR_TYPE),
    "Time of the TLS handshake.",
    full=True,
)
DNS_LOOKUP_DURATION: Final = _histogram(
    "dns.lookup.duration",
    _TIME_IN_QUEUE_BUCKETS,
    (*LEVEL_ORIGIN, DNS_QUESTION_NAME, ERROR_TYPE),
    "Time to resolve the name for a new connection, including the wait for a thread and, in "
    "aiohttp, look-ups in the connector's cache.",
    full=True,
)
STREAM_ACQUIRE_DURATION: Final = _histogram(
    "gluellm.pool.stream.acquire.duration",
    _ACQUIRE_BUCKETS,
    (*LEVEL_ORIGIN, PROTOCOL_VERSION),
    "Time queued for an HTTP/2 stream.",
    full=True,
)
CONNECTION_DURATION: Final = _histogram(
    "http.client.connection.duration",
    _LIFETIME_BUCKETS,
    (*LEVEL_ORIGIN, PROTOCOL_VERSION, PROTOCOL_NAME),
    "Time from a connection being established to its close.",
    full=True,
)
CONNECTION_REQUESTS: Final = _histogram(
    "gluellm.pool.connection.requests",
    _REQUESTS_BUCKETS,
    LEVEL_ORIGIN,
    "Requests that a connection served before its close.",
    unit="{request}",
    full=True,
)

# With a setting of its own.
REQUEST_TIME_IN_QUEUE: Final = _histogram(
    "http.client.request.time_in_queue",
    _TIME_IN_QUEUE_BUCKETS,
    LEVEL_ORIGIN,
    "Time queued for a connection, only of requests that had to wait (as .NET counts it).",
    setting="time_in_queue",
)

METRICS: Final = tuple(value for value in globals().values() if isinstance(value, Metric))
"""All metrics of the contract, in the order in which they are defined above."""

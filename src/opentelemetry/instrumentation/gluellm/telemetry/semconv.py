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

from ..vocabulary import ANOMALIES as ANOMALY_TYPES
from ..vocabulary import OTHER as OTHER
from ..vocabulary import OUTCOMES as OUTCOMES
from ..vocabulary import PHASES as PHASES
from ..vocabulary import SOURCES as SOURCES
from ..vocabulary import STAGES as STAGES
from ..vocabulary import STEPS as STEPS
from ..vocabulary import WEBSOCKET as WEBSOCKET

SCOPE_NAME: Final = "opentelemetry.instrumentation.gluellm"
SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.39.0"
"""First version of the conventions that has all conventional names used here."""

# --- attribute keys -------------------------------------------------------------------------------

# Of metrics. docs/metrics.md is made of their docstrings.
PROVIDER_NAME: Final = "gen_ai.provider.name"
"""OpenTelemetry's name for the provider, else any-llm's. Absent if the provider is unknown. See
"The provider of a series"."""
POOL_NAME: Final = "gluellm.pool.name"
"""Name of the pool; see "Pool names". At most 50 names, then `_OTHER`."""
POOL_LIBRARY: Final = "gluellm.pool.library"
"""Library that the pool belongs to."""
SERVER_ADDRESS: Final = "server.address"
"""Host of the requested origin. `_OTHER` beyond `max_origins`, and if the value is no valid
host."""
SERVER_PORT: Final = "server.port"
"""Port of the origin. Absent if the address is `_OTHER`."""
PROTOCOL_NAME: Final = "network.protocol.name"
"""Protocol that the connection switched to from HTTP. Then `network.protocol.version` is absent."""
PROTOCOL_VERSION: Final = "network.protocol.version"
"""HTTP version of the connection."""
CONNECTION_STATE: Final = "http.connection.state"
"""State of an established connection."""
REQUEST_PHASE: Final = "gluellm.request.phase"
"""Phase of the request."""
STATUS_CODE: Final = "http.response.status_code"
"""Status as received. Absent if no response head was received."""
RPC_STATUS_CODE: Final = "rpc.response.status_code"
"""gRPC's status (`OK`, `UNAVAILABLE`, ...), set by the server or the client library. Only on gRPC
calls, instead of the HTTP status."""
CHANNEL_STATE: Final = "gluellm.channel.state"
"""State of a gRPC channel, as last observed. `shutdown` is a closed channel that the application
still refers to."""
ERROR_TYPE: Final = "error.type"
"""Kind of failure, the same for every library. Absent on success. On requests only the listed
values, never an HTTP status; on calls also statuses. See "The error of a call".
`invalid_response`: the client cannot parse the head of the answer. `client_closed`: the application
closed the client before the request ended. `protocol_error`: the other end closed the connection
early or broke the protocol."""
TIMEOUT_KIND: Final = "gluellm.timeout.kind"
"""Kind of timeout."""
CONNECTION_STEP: Final = "gluellm.connection.step"
"""Step of [establishing a connection](#steps-of-establishing-a-connection). `proxy`: until the
proxy has connected to the origin."""
DNS_QUESTION_NAME: Final = "dns.question.name"
"""Name that was resolved. `_OTHER` beyond `max_origins`."""
PEER_STATE: Final = "gluellm.connection.peer_state"
"""What TCP knows about the peer; [Silent
connections](when-calls-hang.md#silent-connections) describes each value. `unknown`: none of the
others, for example while a provider works on an answer."""
CLOSE_REASON: Final = "gluellm.connection.close_reason"
"""Why a connection was closed. `evicted`: idle, closed to make room for another origin.
`connection_close`: requested by either side in a header. `response_incomplete`: its response was
closed before it was read to its end."""
DISCARD_REASON: Final = "gluellm.pool.discard_reason"
"""Why a pool is gone."""
REQUEST_RESEND: Final = "gluellm.request.resend"
"""`true` for a retry that `gluellm.call.retries` counts; absent otherwise."""
ANOMALY_TYPE: Final = "gluellm.anomaly.type"
"""Kind of anomaly."""
HOOK_LIBRARY: Final = "gluellm.hook.library"
"""Library that the hooks belong to."""
FINDING_KIND: Final = "gluellm.finding.kind"
"""Kind of the finding; [When calls hang](when-calls-hang.md) has a row for each. `_OTHER` is the
sum of the findings beyond the first 60."""
FINDING_SEVERITY: Final = "gluellm.finding.severity"
"""`error`: calls fail, hang or are many times slower. `warning`: calls are slower, or will fail if
this continues."""
INSTRUMENTATION_KIND: Final = "gluellm.instrumentation.kind"
"""What failed. `buffer_full` for dropped records."""
REQUEST_MODEL: Final = "gen_ai.request.model"
"""Model of the call, at most 256 characters, with `?` for unprintable ones. On metrics only
with `model_attributes=True`."""
OPERATION_NAME: Final = "gen_ai.operation.name"
"""Operation of the call. On metrics of requests only with `model_attributes=True`. On
metrics of calls at most 6 different ones, then `_OTHER`."""
CALL_STAGE: Final = "gluellm.call.stage"
"""Stage of the call."""
CALL_OUTCOME: Final = "gluellm.call.outcome"
"""How the call ended. `abandoned`: its stream was closed or dropped before its end."""
CALL_SOURCE: Final = "gluellm.call.source"
"""Where the call was observed: GlueLLM, any-llm, an SDK that the application calls (`sdk`), or a
request that is in none of these (`http`). Of nested calls, only the outermost one counts."""
RESPONSE_STREAMING: Final = "gluellm.response.streaming"
"""Whether the response was streamed."""

# On log records only.
EVENT_NAME: Final = "event.name"
FINDING_EVENT: Final = "gluellm.finding"

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
_SDKS: Final = "anthropic cerebras fireworks google-genai groq mistralai openai together"
HOOK_LIBRARIES: Final = (*POOL_LIBRARIES, "any_llm", "gluellm", *_SDKS.split())
CONNECTION_STATES: Final = ("active", "idle")
PROTOCOL_VERSIONS: Final = ("1.1", "2")
TIMEOUT_KINDS: Final = ("pool", "connect", "read", "write")
# In the order of the numbers in adapters/grpc/channel.py.
CHANNEL_STATES: Final = ("idle", "connecting", "ready", "transient_failure", "shutdown")
PEER_STATES: Final = ("unacknowledged", "unreachable", "closed", "reset", "not_reading", "unknown")
DISCARD_REASONS: Final = ("closed", "garbage_collected")


class ErrorType(StrEnum):
    """Values of ``error.type``. A kind of failure has the same value for every library."""

    POOL_TIMEOUT = "pool_timeout"
    CONNECT_TIMEOUT = "connect_timeout"
    READ_TIMEOUT = "read_timeout"
    WRITE_TIMEOUT = "write_timeout"
    NAME_RESOLUTION_ERROR = "name_resolution_error"
    CONNECTION_ERROR = "connection_error"
    SECURE_CONNECTION_ERROR = "secure_connection_error"
    PROXY_ERROR = "proxy_error"
    INVALID_REQUEST = "invalid_request"
    INVALID_RESPONSE = "invalid_response"
    CLIENT_CLOSED = "client_closed"
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


_KEYS: Final = {name: key for key, name in reversed(_REGISTERED_PROVIDERS.items())}


def provider_key(name: str) -> str:
    """Return any-llm's key of a provider, which a span or a user names in any case."""
    name = name.strip().lower()
    return _KEYS.get(name, name)


ATTRIBUTE_VALUES: Final[dict[str, tuple[str, ...]]] = {
    POOL_LIBRARY: POOL_LIBRARIES,
    PROTOCOL_NAME: (WEBSOCKET,),
    PROTOCOL_VERSION: PROTOCOL_VERSIONS,
    CONNECTION_STATE: CONNECTION_STATES,
    REQUEST_PHASE: PHASES,
    CHANNEL_STATE: CHANNEL_STATES,
    ERROR_TYPE: ERROR_TYPES,
    TIMEOUT_KIND: TIMEOUT_KINDS,
    CONNECTION_STEP: STEPS,
    PEER_STATE: PEER_STATES,
    CLOSE_REASON: CLOSE_REASONS,
    DISCARD_REASON: DISCARD_REASONS,
    REQUEST_RESEND: ("true",),
    ANOMALY_TYPE: ANOMALY_TYPES,
    HOOK_LIBRARY: HOOK_LIBRARIES,
    CALL_STAGE: STAGES,
    CALL_OUTCOME: OUTCOMES,
    CALL_SOURCE: SOURCES,
    RESPONSE_STREAMING: ("true", "false"),
}
"""All possible values of the keys with a closed set."""

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
    "Established connections. An idle one counts until the pool drops it, even if it has "
    "expired or the peer has closed it.",
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
    "Limit on connections, summed over the pools of this name. Absent if one of them has no limit.",
)
CONNECTION_IDLE_MAX: Final = _up_down_counter(
    "gluellm.pool.connection.idle.max",
    "{connection}",
    LEVEL_POOL,
    "Limit on idle connections, summed over the pools of this name. Absent if one of them "
    "has no limit.",
)
OCCUPANCY_RATIO: Final = _gauge(
    "gluellm.pool.occupancy.ratio",
    "1",
    LEVEL_POOL,
    "(Active + connecting) / limit of the fullest pool of this name.",
)
PEAK_ACTIVE: Final = _gauge(
    "gluellm.pool.peak.active",
    "{connection}",
    LEVEL_POOL,
    "Largest number of connections that were active or connecting at the same time within "
    "`peak_window`, in all pools of this name together, including pools that are gone.",
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
    "Time to establish a connection, from name resolution to TLS. `error.type` is "
    "`connect_timeout`, `secure_connection_error`, `cancelled` or, for any other failure, "
    "`connection_error`.",
)
CONNECTION_CREATE_TIME: Final = _counter(
    "gluellm.pool.connection.create.time",
    "s",
    (*LEVEL_ORIGIN, CONNECTION_STEP),
    "Time spent in each step of establishing connections, including set-ups that failed or "
    "are still running. Its rate is the average number of connections in the step.",
)
CONNECTION_SILENT: Final = _up_down_counter(
    "gluellm.pool.connection.silent",
    "{connection}",
    (*LEVEL_POOL, PEER_STATE),
    "Connections on which a request has waited for bytes for longer than `peer_check_after`, per "
    "state of the peer as TCP knows it. At most ten connections of each pool are checked, those "
    "with the longest waits, so a value of 10 can mean more. Connections that are still "
    "sending, if slowly, are not counted. A state is absent until it first occurs. Linux only.",
)
REUSE_FAILURES: Final = _counter(
    "gluellm.pool.reuse.failures",
    "{request}",
    LEVEL_ORIGIN,
    "Requests that failed on a reused connection before the first byte of a response. A "
    "usual cause is a load balancer that drops idle connections.",
)

# Requests.
ACTIVE_REQUESTS: Final = _up_down_counter(
    "http.client.active_requests", "{request}", LEVEL_ORIGIN, "Requests in flight, in any phase."
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
    "Longest time that a request has been in this phase; 0 if there is none.",
)
REQUEST_TIME: Final = _counter(
    "gluellm.pool.request.time",
    "s",
    (*LEVEL_ORIGIN, REQUEST_PHASE),
    "Time that finished and running requests spent in this phase. Its rate is the average "
    "number of requests in the phase.",
)
REQUESTS: Final = _counter(
    "gluellm.pool.requests",
    "{request}",
    (*LEVEL_ORIGIN, STATUS_CODE, RPC_STATUS_CODE, ERROR_TYPE, REQUEST_RESEND),
    "Requests that have ended, by status or error. aiohttp sends an idempotent request once more "
    "by itself if its reused connection breaks before the response: these are two requests.",
)
PEAK_QUEUED: Final = _gauge(
    "gluellm.pool.peak.queued",
    "{request}",
    LEVEL_POOL,
    "Largest number of requests that were queued at one moment within `peak_window`.",
)
ACQUIRE_DURATION: Final = _histogram(
    "gluellm.pool.acquire.duration",
    _ACQUIRE_BUCKETS,
    (*LEVEL_ORIGIN, ERROR_TYPE),
    "Time that requests waited for a connection; exactly 0 if the pool had one or could open "
    "one. Failed and cancelled waits have an `error.type`.",
    opt_in_attributes=_MODEL,
)
LEASE_DURATION: Final = _histogram(
    "gluellm.pool.lease.duration",
    _LEASE_BUCKETS,
    LEVEL_ORIGIN,
    "Time that requests held a connection, including its set-up and, for a streamed response, the "
    "whole stream.",
    opt_in_attributes=(RESPONSE_STREAMING, *_MODEL),
)
LEASE_OLDEST_AGE: Final = _gauge(
    "gluellm.pool.lease.oldest_age",
    "s",
    LEVEL_POOL,
    "Time since the longest-held connection was acquired; 0 if none is held. A stream's chunk, "
    "even a ping, resets `gluellm.pool.request.oldest_age`, but not this age.",
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
    "Requests that returned to the queue because their connection was taken or closed.",
)

# Calls.
CALL_CURRENT: Final = _up_down_counter(
    "gluellm.call.current", "{call}", (*LEVEL_CALL, CALL_STAGE), "Calls in this stage now."
)
CALL_OLDEST_AGE: Final = _gauge(
    "gluellm.call.oldest_age",
    "s",
    (*LEVEL_CALL, CALL_STAGE),
    "Longest time that a running call has been in this stage; 0 if there is none.",
)
CALL_TIME: Final = _counter(
    "gluellm.call.time",
    "s",
    (*LEVEL_CALL, CALL_STAGE),
    "Time that finished and running calls spent in this stage. Its rate is the average "
    "number of calls in the stage.",
)
CALL_SILENCE: Final = _gauge(
    "gluellm.call.silence.oldest_age",
    "s",
    LEVEL_CALL,
    "Longest current wait of the application for the next item of a streamed call. Bytes "
    "without an item, such as pings, do not end the wait. Absent until a call is streamed.",
)
CALL_SILENT: Final = _up_down_counter(
    "gluellm.call.silent",
    "{call}",
    LEVEL_CALL,
    "Calls in `requesting` that have waited for their answer, or for the next item of their "
    "stream, for longer than `silence_threshold` and for longer than three times the longest "
    "recent wait.",
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
    "Requests that a call sent again after a pause (stage `backoff`).",
)
CALL_DURATION: Final = _histogram(
    "gluellm.call.duration",
    _CALL_BUCKETS,
    (*LEVEL_CALL, OPERATION_NAME),
    "Duration of calls, including their retries and streams.",
    opt_in_attributes=(REQUEST_MODEL,),
)

# Pools.
POOL_LIVE: Final = _up_down_counter(
    "gluellm.pool.live", "{pool}", LEVEL_POOL, "Pools that have served a request and still exist."
)
POOL_OPENED: Final = _counter(
    "gluellm.pool.opened", "{pool}", LEVEL_POOL, "Pools that have served their first request."
)
POOL_DISCARDED: Final = _counter(
    "gluellm.pool.discarded",
    "{pool}",
    (*LEVEL_POOL, DISCARD_REASON),
    "Pools that were closed or garbage-collected.",
)
LEAK_SUSPECTED: Final = _up_down_counter(
    "gluellm.pool.leak.suspected",
    "{connection}",
    LEVEL_POOL,
    "Connections that are held now and whose response has been unread for longer than "
    "`leak_threshold`.",
)
LEAKS: Final = _counter(
    "gluellm.pool.leaks",
    "{connection}",
    LEVEL_POOL,
    "Connections whose response was unread for longer than `leak_threshold`, including "
    "those that were released later.",
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
    "Limit on HTTP/2 streams: the peer's or the client's own, whichever is lower.",
)
STREAM_ORPHANED: Final = _up_down_counter(
    "gluellm.pool.stream.orphaned",
    "{stream}",
    (*LEVEL_ORIGIN, PROTOCOL_VERSION),
    "HTTP/2 streams that the peer keeps open although their request has ended. They still "
    "count against its limit.",
)
ANOMALIES: Final = _counter(
    "gluellm.pool.anomalies",
    "{anomaly}",
    (*LEVEL_POOL, ANOMALY_TYPE),
    "Invalid states of a pool, and requests that failed because their client is used on a "
    "second event loop, by type.",
)

# gRPC channels.
CHANNEL_CURRENT: Final = _up_down_counter(
    "gluellm.pool.channel.current",
    "{channel}",
    (*LEVEL_POOL, CHANNEL_STATE),
    "gRPC channels in this state, as last observed.",
)
CHANNEL_TIME: Final = _counter(
    "gluellm.pool.channel.time",
    "s",
    (*LEVEL_POOL, CHANNEL_STATE),
    "Time that gRPC channels spent in this state, as observed. Its rate is the average "
    "number of channels in the state.",
)

# The process.
EVENT_LOOP_LATE_TIME: Final = _counter(
    "gluellm.event_loop.late.time",
    "s",
    (),
    "Time by which timers ran late on event loops with requests in flight. If several loops "
    "are late at the same time, only the largest delay counts. Its rate is the share of time "
    "in which a loop was blocked. Above 20 %, long waits do not prove that a pool or provider "
    "is slow. The hub of gevent or eventlet counts as a loop; loops of trio are not measured.",
)
EVENT_LOOP_LAG_PEAK: Final = _gauge(
    "gluellm.event_loop.lag.peak",
    "s",
    (),
    "Longest delay of a timer within `peak_window`, on event loops with requests in "
    "flight. A single pause keeps it high for the whole window; "
    "`gluellm.event_loop.late.time` shows whether that matters.",
)
FINDING_CURRENT: Final = _up_down_counter(
    "gluellm.finding.current",
    "{finding}",
    (*LEVEL_POOL, CALL_SOURCE, FINDING_KIND, FINDING_SEVERITY),
    "1 while the process's own diagnosis has this finding, and 0 for ten minutes after that. A "
    "finding on a pool has the attributes of the pool's other series, one on calls the provider "
    "and the source, one on the process none of these.",
)
FINDING_JUDGED: Final = _counter(
    "gluellm.finding.judged",
    "{judgement}",
    (),
    "How often the process has judged itself. Absent if that is off. If it does not grow while "
    "requests are in flight, findings are unknown.",
)
HOOK_MISSING: Final = _up_down_counter(
    "gluellm.instrumentation.hook.missing",
    "{hook}",
    (HOOK_LIBRARY,),
    "Hooks that the installed version of a library lacks; 0 if all work. any-llm's are "
    "reported from `instrument()` on, others once their library is imported. The log and "
    "`snapshot()` name the hooks and the affected metrics.",
)
INSTRUMENTATION_ERRORS: Final = _counter(
    "gluellm.instrumentation.errors",
    "{error}",
    (INSTRUMENTATION_KIND,),
    "Exceptions that the instrumentation caught in its own code.",
)
INSTRUMENTATION_DROPPED: Final = _counter(
    "gluellm.instrumentation.dropped",
    "{record}",
    (INSTRUMENTATION_KIND,),
    "Records of durations dropped because the buffer was full.",
)

# With metrics="full".
RESPONSE_WAIT_DURATION: Final = _histogram(
    "gluellm.pool.response.wait.duration",
    _LEASE_BUCKETS,
    LEVEL_ORIGIN,
    "Time from sending a request to the head of its response.",
    full=True,
)
CONNECTION_TLS_DURATION: Final = _histogram(
    "gluellm.pool.connection.tls.duration",
    _CREATE_BUCKETS,
    (*LEVEL_ORIGIN, ERROR_TYPE),
    "Duration of TLS handshakes.",
    full=True,
)
DNS_LOOKUP_DURATION: Final = _histogram(
    "dns.lookup.duration",
    _TIME_IN_QUEUE_BUCKETS,
    (*LEVEL_ORIGIN, DNS_QUESTION_NAME, ERROR_TYPE),
    "Time to resolve a name for a new connection, including the wait for a thread. Hits in "
    "aiohttp's cache count as well.",
    full=True,
)
STREAM_ACQUIRE_DURATION: Final = _histogram(
    "gluellm.pool.stream.acquire.duration",
    _ACQUIRE_BUCKETS,
    (*LEVEL_ORIGIN, PROTOCOL_VERSION),
    "Time that requests waited for an HTTP/2 stream.",
    full=True,
)
CONNECTION_DURATION: Final = _histogram(
    "http.client.connection.duration",
    _LIFETIME_BUCKETS,
    (*LEVEL_ORIGIN, PROTOCOL_VERSION, PROTOCOL_NAME),
    "Lifetime of connections, from established to closed.",
    full=True,
)
CONNECTION_REQUESTS: Final = _histogram(
    "gluellm.pool.connection.requests",
    _REQUESTS_BUCKETS,
    LEVEL_ORIGIN,
    "Requests that a connection served until it was closed.",
    unit="{request}",
    full=True,
)

# With a setting of its own.
REQUEST_TIME_IN_QUEUE: Final = _histogram(
    "http.client.request.time_in_queue",
    _TIME_IN_QUEUE_BUCKETS,
    LEVEL_ORIGIN,
    "Time that requests waited for a connection. As in .NET, requests that did not wait are "
    "not recorded.",
    setting="time_in_queue",
)

METRICS: Final = tuple(value for value in globals().values() if isinstance(value, Metric))
"""All metrics of the contract, in the order in which they are defined above."""

ATTRIBUTES: Final = frozenset(
    key for metric in METRICS for key in (*metric.attributes, *metric.opt_in_attributes)
)
"""Attribute keys of metrics. Spans have further ones."""

"""Requests: phases, times and results."""

from __future__ import annotations

from .connections import CONNECTED
from .signal import Own, Signal, by, essential, of, quantile_of, rate, signal, total
from .waiting import POOLS_PART

PROVIDERS_PART = {"gluellm.request.phase": "awaiting_response|reading"}
"""Phases that the provider causes."""
APPLICATIONS_PART = {"gluellm.request.phase": "unread"}
"""Phase that the application causes."""

_TIME = "gluellm.pool.request.time"
_PHASE = "gluellm.request.phase"
_REQUESTS = "gluellm.pool.requests"
_STATUS, _RPC_STATUS = "http.response.status_code", "rpc.response.status_code"


def _share(part: str, phases: Own, tells: str) -> Signal:
    template = f"{total(_TIME, phases)} / ({total(_TIME)} > 0)"
    return signal(f"share_of_{part}", template, tells, "ratio")


def _time_at(part: str, phases: Own, tells: str, among: Own | None = None) -> Signal:
    template = f"{total(_TIME, phases)} / ({total(_REQUESTS, among)} > 0)"
    return signal(f"time_at_{part}", template, tells, "s")


def _share_beside(
    name: str, others: Own, tells: str, *, among: Own | None = None, others_come: bool = False
) -> Signal:
    """Return the share of the requests that do not match ``others``; 0 if all match.

    With ``others_come``, there may be no ``others`` yet, for example if no request succeeded since
    the start: then the share is 1.
    """
    every = total(_REQUESTS, among)
    rest = total(_REQUESTS, {**(among or {}), **others})
    if others_come:
        rest = f"({rest} or 0 * {every})"
    return signal(name, f"clamp_min(1 - {rest} / ({every} > 0), 0)", tells, "ratio")


SHARE_OF_POOL = _share(
    "pool",
    POOLS_PART,
    "Queued, connecting, or waiting for a stream. A high share alone proves nothing: a "
    "queue is often the result of a slow provider, or of refused requests that are "
    "retried. If the provider's time per request is unchanged and its answers are good, "
    "the pool is too small or its connections are held.",
)
SHARE_OF_PROVIDER = _share(
    "provider",
    PROVIDERS_PART,
    "Waiting for the head of a response, or reading its body. A high share is healthy: "
    "this is the actual work. To see whether the provider is slow, look at its time per "
    "request.",
)
SHARE_OF_APPLICATION = _share(
    "application",
    APPLICATIONS_PART,
    "Share of the time with a response that nobody reads: a slow consumer, or a stream that "
    "was never closed. If the share grows and the oldest age of `unread` never falls, it "
    "is a leak.",
)
SHARES_BY_PHASE = signal(
    "shares_by_phase",
    f"sum{by(_TIME, _PHASE)}({rate(_TIME)}) / "
    f"ignoring(gluellm_request_phase) group_left() ({total(_TIME)} > 0)",
    "Warm colours are the pool (`queued`, `connecting`, `stream_queued`), blue is the "
    "provider (`awaiting_response`, `reading`), purple is the application (`unread`). "
    "Mostly blue is healthy. Shares do not show durations, so if warm colours grow, look "
    "at how long the provider takes per request. If that is unchanged, the pool is too "
    "small or there is a burst. If it is longer, the provider is slow and the queue is the "
    "result. Purple that never shrinks: responses are held unread.",
    "ratio",
)
TIME_BY_PHASE = essential(
    "time_by_phase",
    "Seconds spent in each phase per second: the number of requests in that phase, on "
    "average. Unlike a histogram, it includes requests that are still running.",
)
CURRENT_BY_PHASE = of(
    "current_by_phase",
    "gluellm.pool.request.current",
    "Shows what holds the connections. `awaiting_response` and `reading` wait for the "
    "provider, `unread` waits for the application. If these fill the pool while `queued` "
    "grows, check which one grew first.",
    _PHASE,
)
OLDEST_BY_PHASE = of(
    "oldest_by_phase",
    "gluellm.pool.request.oldest_age",
    "A line that rises and never falls is one request that hangs. `unread` for a minute: a "
    "leak. `awaiting_response` or `reading` for minutes: possibly a reasoning model; "
    "`gluellm-pools doctor` reports if the other end of such a silent connection is gone. "
    "`queued`: no connection is released.",
    _PHASE,
    how="max",
)
LEASE_OLDEST = of(
    "lease_oldest_age",
    "gluellm.pool.lease.oldest_age",
    "Age of the oldest lease. Each ping of a stream restarts the age of its phase, but not "
    "this age.",
    how="max",
)
REQUESTS = of("request_rate", _REQUESTS, "Requests that left the pool, however they ended.")
ERRORS = of(
    "request_errors",
    _REQUESTS,
    "Failures without a status of the provider. `pool_timeout`: the pool. "
    "`connect_timeout`, `name_resolution_error`, `connection_error`, `proxy_error` and "
    "`secure_connection_error`: the connection could not be established. `read_timeout` "
    "and `read_error`: failures while waiting for the provider's answer. `cancelled`: the "
    "application.",
    "error.type",
    own={"error.type": "!"},
)
RESEND_SHARE = _share_beside(
    "resend_share",
    {"gluellm.request.resend": "!true"},
    "Share of requests that are retries. They multiply the load on a pool and a provider "
    "that already have trouble. Above a few percent, look at the statuses.",
)
ERROR_STATUS_SHARE = _share_beside(
    "error_status_share",
    {_STATUS: "!4..|5..", _RPC_STATUS: "|OK|CANCELLED|DEADLINE_EXCEEDED"},
    "Of the requests that had a connection, the share with a status of at least 400 (or the gRPC "
    "equivalent). 429 is the provider's rate limit: send less, or ask for more. 5xx is a "
    "failure of the provider, any other 4xx one of the application. A larger pool helps "
    "against none of these.",
    among=CONNECTED,
    others_come=True,
)
FAILED_SHARE = _share_beside(
    "failed_share",
    {"error.type": "", _STATUS: "!4..|5..", _RPC_STATUS: "|OK"},
    "Requests that ended in an error of any kind or in a status of at least 400. Cancelled "
    "requests count, and each retry counts on its own.",
    others_come=True,
)
STATUSES = signal(
    "statuses",
    " or ".join(
        f"sum{by(_REQUESTS, _STATUS, _RPC_STATUS)}({rate(_REQUESTS, {status: '!'})})"
        for status in (_STATUS, _RPC_STATUS)
    ),
    "429 is the provider's rate limit, 5xx a failure of the provider. The panel beside "
    "this one shows requests without a status.",
    "/s",
)
ACTIVE_REQUESTS = of(
    "active_requests",
    "http.client.active_requests",
    "Requests in any phase, waiting ones included.",
)
LEASE_P50 = quantile_of(
    "lease_p50",
    0.5,
    "gluellm.pool.lease.duration",
    "Half of the requests released their connection within this time.",
)
LEASE_P95 = essential(
    "lease_p95",
    "Time from acquiring a connection to releasing it, including the whole stream. Only "
    "finished requests count. For connections that are never released, see the oldest age "
    "by phase.",
)
TIME_AT_PROVIDER = _time_at(
    "provider",
    PROVIDERS_PART,
    "Time spent awaiting a response and reading it, per request that ended and had a "
    "connection. The time of requests in flight counts, so it rises while some hang, before any "
    "histogram does. While no request ends, there is no new value. If the time is unchanged and "
    "calls are slow, the cause is the pool or the application.",
    CONNECTED,
)
TIME_AT_POOL = _time_at(
    "pool",
    POOLS_PART,
    "Time spent waiting for a connection or a stream, or connecting, per request that ended.",
)
TIME_AT_APPLICATION = _time_at(
    "application",
    APPLICATIONS_PART,
    "Time in which a response was available but not read, per request that ended.",
)
RESPONSE_WAIT_P95 = quantile_of(
    "response_wait_p95",
    0.95,
    "gluellm.pool.response.wait.duration",
    'From the request being sent to the head of its response. With `metrics="full"` only.',
)

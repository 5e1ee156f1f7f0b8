"""Requests: phases, times and results."""

from __future__ import annotations

from ..naming import label, metric
from .connections import CONNECTED
from .signal import Own, Signal, by, essential, now, quantile, rate, signal
from .waiting import POOLS_PART

PROVIDERS_PART = {"gluellm.request.phase": "awaiting_response|reading"}
"""Phases that the provider causes."""
APPLICATIONS_PART = {"gluellm.request.phase": "unread"}
"""Phase that the application causes."""

_TIME = "gluellm.pool.request.time"
_PHASE = "gluellm.request.phase"


def _share(name: str, question: str, part: dict[str, str], tells: str) -> Signal:
    return signal(
        name,
        question,
        f"sum{by()}({rate(_TIME, part)}) / (sum{by()}({rate(_TIME)}) > 0)",
        tells,
        of=[_TIME],
        unit="ratio",
        by=(),
    )


def _share_beside(
    name: str,
    question: str,
    others: Own,
    tells: str,
    *,
    among: Own | None = None,
    others_come: bool = False,
) -> Signal:
    """Return the share of the requests that do not match ``others``; 0 if all match.

    With ``others_come``, there may be no ``others`` yet, for example if no request succeeded since
    the start: then the share is 1.
    """
    requests = "gluellm.pool.requests"
    total = f"sum{by()}({rate(requests, among)})"
    rest = f"sum{by()}({rate(requests, {**(among or {}), **others})})"
    if others_come:
        rest = f"({rest} or 0 * {total})"
    return signal(
        name,
        question,
        f"clamp_min(1 - {rest} / ({total} > 0), 0)",
        tells,
        of=[requests],
        unit="ratio",
    )


SHARE_OF_POOL = _share(
    "share_of_pool",
    "Which share of the time is the pool's?",
    POOLS_PART,
    "Queued, connecting, or waiting for a stream. A high share alone proves nothing: a "
    "queue is often the result of a slow provider, or of refused requests that are "
    "retried. If the provider's time per request is unchanged and its answers are good, "
    "the pool is too small or its connections are held.",
)
SHARE_OF_PROVIDER = _share(
    "share_of_provider",
    "Which share of the time is the provider's?",
    PROVIDERS_PART,
    "Waiting for the head of a response, or reading its body. A high share is healthy: "
    "this is the actual work. To see whether the provider is slow, look at its time per "
    "request.",
)
SHARE_OF_APPLICATION = _share(
    "share_of_application",
    "Which share of the time is the application's?",
    APPLICATIONS_PART,
    "Share of the time with a response that nobody reads: a slow consumer, or a stream that "
    "was never closed. If the share grows and the oldest age of `unread` never falls, it "
    "is a leak.",
)
_COLORS = (
    "Warm colours are the pool (`queued`, `connecting`, `stream_queued`), blue is the "
    "provider (`awaiting_response`, `reading`), purple is the application (`unread`). "
    "Mostly blue is healthy. Shares do not show durations, so if warm colours grow, look "
    "at how long the provider takes per request. If that is unchanged, the pool is too "
    "small or there is a burst. If it is longer, the provider is slow and the queue is the "
    "result. Purple that never shrinks: responses are held unread."
)


def _shares(name: str, question: str, part: dict[str, str], tells: str = "") -> Signal:
    return signal(
        name,
        question,
        f"sum{by(_TIME, _PHASE)}({rate(_TIME, part)}) / "
        f"ignoring({label(_PHASE, metric(_TIME))}) group_left() (sum{by()}({rate(_TIME)}) > 0)",
        tells,
        of=[_TIME],
        unit="ratio",
        by=(),
    )


SHARES_OF_PROVIDER = _shares(
    "shares_of_provider",
    "Which shares of the time are which of the provider's phases?",
    PROVIDERS_PART,
    _COLORS,
)
SHARES_OF_POOL = _shares(
    "shares_of_pool", "Which shares of the time are which of the pool's phases?", POOLS_PART
)
SHARES_OF_APPLICATION = _shares(
    "shares_of_application",
    "Which shares of the time are which of the application's phases?",
    APPLICATIONS_PART,
)
TIME_BY_PHASE = essential(
    "time_by_phase",
    "Seconds spent in each phase per second: the number of requests in that phase, on "
    "average. Unlike a histogram, it includes requests that are still running.",
)
CURRENT_BY_PHASE = signal(
    "current_by_phase",
    "How many requests are in which phase?",
    f"sum{by('gluellm.pool.request.current', _PHASE)}({now('gluellm.pool.request.current')})",
    "Shows what holds the connections. `awaiting_response` and `reading` wait for the "
    "provider, `unread` waits for the application. If these fill the pool while `queued` "
    "grows, check which one grew first.",
    of=["gluellm.pool.request.current"],
)
OLDEST_BY_PHASE = signal(
    "oldest_by_phase",
    "How old is the oldest request of each phase?",
    f"max{by('gluellm.pool.request.oldest_age', _PHASE)}({now('gluellm.pool.request.oldest_age')})",
    "A line that rises and never falls is one request that hangs. `unread` for a minute: a "
    "leak. `awaiting_response` or `reading` for minutes: possibly a reasoning model; "
    "`gluellm-pools doctor` reports if the other end of such a silent connection is gone. "
    "`queued`: no connection is released.",
    of=["gluellm.pool.request.oldest_age"],
    unit="s",
)
LEASE_OLDEST = signal(
    "lease_oldest_age",
    "How long has the longest-held connection been held?",
    f"max{by()}({now('gluellm.pool.lease.oldest_age')})",
    "Age of the oldest lease. Each ping of a stream restarts the age of its phase, but not "
    "this age.",
    of=["gluellm.pool.lease.oldest_age"],
    unit="s",
)
REQUESTS = signal(
    "request_rate",
    "How many requests are there?",
    f"sum{by()}({rate('gluellm.pool.requests')})",
    "Requests that left the pool, however they ended.",
    of=["gluellm.pool.requests"],
    unit="/s",
)
REQUESTS_BY_STATUS = essential(
    "requests",
    "How requests ended: the provider's status, or the error if there was no status. 429 "
    "is the provider's rate limit, 5xx a failure of the provider.",
)
ERRORS = signal(
    "request_errors",
    "How many requests fail, and why?",
    f"sum{by('gluellm.pool.requests', 'error.type')}"
    f"({rate('gluellm.pool.requests', {'error.type': '!'})})",
    "Failures without a status of the provider. `pool_timeout`: the pool. "
    "`connect_timeout`, `name_resolution_error`, `connection_error`, `proxy_error` and "
    "`secure_connection_error`: the connection could not be established. `read_timeout` "
    "and `read_error`: failures while waiting for the provider's answer. `cancelled`: the "
    "application.",
    of=["gluellm.pool.requests"],
    unit="/s",
)
RESEND_SHARE = _share_beside(
    "resend_share",
    "Which share of requests is sent again?",
    {"gluellm.request.resend": "!true"},
    "Share of requests that are retries. They multiply the load on a pool and a provider "
    "that already have trouble. Above a few percent, look at the statuses.",
)
ERROR_STATUS_SHARE = _share_beside(
    "error_status_share",
    "Which share of requests is answered with an error status?",
    {
        "http.response.status_code": "!4..|5..",
        "rpc.response.status_code": "|OK|CANCELLED|DEADLINE_EXCEEDED",
    },
    "Of the requests that had a connection, the share with a status of at least 400 (or the gRPC "
    "equivalent). 429 is the provider's rate limit: send less, or ask for more. 5xx is a "
    "failure of the provider, any other 4xx one of the application. A larger pool helps "
    "against none of these.",
    among=CONNECTED,
    others_come=True,
)
FAILED_SHARE = _share_beside(
    "failed_share",
    "Which share of requests fails?",
    {
        "error.type": "",
        "http.response.status_code": "!4..|5..",
        "rpc.response.status_code": "|OK",
    },
    "Requests that ended in an error of any kind or in a status of at least 400. Cancelled "
    "requests count, and each retry counts on its own. The third row of figures shows the "
    "kinds.",
    others_come=True,
)
STATUSES = signal(
    "statuses",
    "How many requests are answered, with which status?",
    " or ".join(
        f"sum{by('gluellm.pool.requests', 'http.response.status_code', 'rpc.response.status_code')}"
        f"({rate('gluellm.pool.requests', {status: '!'})})"
        for status in ("http.response.status_code", "rpc.response.status_code")
    ),
    "429 is the provider's rate limit, 5xx a failure of the provider. The panel beside "
    "this one shows requests without a status.",
    of=["gluellm.pool.requests"],
    unit="/s",
)
ACTIVE_REQUESTS = signal(
    "active_requests",
    "How many requests are in flight?",
    f"sum{by()}({now('http.client.active_requests')})",
    "Requests in any phase, waiting ones included.",
    of=["http.client.active_requests"],
)
LEASE_P50 = signal(
    "lease_p50",
    "How long are connections held (p50)?",
    quantile(0.5, "gluellm.pool.lease.duration"),
    "Half of the requests released their connection within this time.",
    of=["gluellm.pool.lease.duration"],
    unit="s",
)
LEASE_P95 = essential(
    "lease_p95",
    "Time from acquiring a connection to releasing it, including the whole stream. Only "
    "finished requests count. For connections that are never released, see the oldest age "
    "by phase.",
)
TIME_AT_PROVIDER = signal(
    "time_at_provider",
    "How long does the provider take for a request?",
    f"sum{by()}({rate(_TIME, PROVIDERS_PART)}) / "
    f"(sum{by()}({rate('gluellm.pool.requests', CONNECTED)}) > 0)",
    "Time spent awaiting a response and reading it, per request that ended and had a "
    "connection. The time of requests in flight counts, so it rises while some hang, before any "
    "histogram does. While no request ends, there is no new value. If the time is unchanged and "
    "calls are slow, the cause is on your side.",
    of=[_TIME, "gluellm.pool.requests"],
    unit="s",
)
TIME_AT_POOL = signal(
    "time_at_pool",
    "How long does the pool take for a request?",
    f"sum{by()}({rate(_TIME, POOLS_PART)}) / (sum{by()}({rate('gluellm.pool.requests')}) > 0)",
    "Time spent waiting for a connection or a stream, or connecting, per request that ended.",
    of=[_TIME, "gluellm.pool.requests"],
    unit="s",
)
TIME_AT_APPLICATION = signal(
    "time_at_application",
    "How long does the application take for a request?",
    f"sum{by()}({rate(_TIME, APPLICATIONS_PART)}) / "
    f"(sum{by()}({rate('gluellm.pool.requests')}) > 0)",
    "Time in which a response was available but not read, per request that ended.",
    of=[_TIME, "gluellm.pool.requests"],
    unit="s",
)
RESPONSE_WAIT_P95 = signal(
    "response_wait_p95",
    "How long until the response begins (p95)?",
    quantile(0.95, "gluellm.pool.response.wait.duration"),
    'From the request being sent to the head of its response. With `metrics="full"` only.',
    of=["gluellm.pool.response.wait.duration"],
    unit="s",
    on_event=True,
)

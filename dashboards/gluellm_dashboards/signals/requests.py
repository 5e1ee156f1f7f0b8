"""Where requests are, where their time goes, and how they end."""

from __future__ import annotations

from ..naming import label, metric
from .connections import CONNECTED
from .signal import Own, Signal, by, essential, now, quantile, rate, signal
from .waiting import POOLS_PART

PROVIDERS_PART = {"gluellm.request.phase": "awaiting_response|reading"}
"""The phases that are the provider's."""
APPLICATIONS_PART = {"gluellm.request.phase": "unread"}
"""The phase that is the application's."""

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
    """The share of the requests that are not these others: 0 also where there is none yet.

    With ``others_come`` there may be no others yet, as when nothing went well since the start: then
    it is all.
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
    "Queued, connecting, or waiting for a stream. High is no verdict: a queue is often the "
    "consequence of a provider that is slow, or refuses, so that calls are sent again. Where the "
    "provider's time per request is as always and it answers well, the pool is too small or its "
    "connections are held.",
)
SHARE_OF_PROVIDER = _share(
    "share_of_provider",
    "Which share of the time is the provider's?",
    PROVIDERS_PART,
    "Waiting for the head of a response, or reading its body. High is healthy, that is the work, "
    "and low says nothing for the provider. Whether it is slow says the time per request.",
)
SHARE_OF_APPLICATION = _share(
    "share_of_application",
    "Which share of the time is the application's?",
    APPLICATIONS_PART,
    "Responses that have begun and that nobody reads: a slow consumer, or a stream that was never "
    "closed. When it grows and the oldest age of `unread` never falls, it is a leak.",
)
_COLORS = (
    "Warm colours are the pool's part: `queued`, `connecting`, `stream_queued`. Blue is the "
    "provider's: `awaiting_response`, `reading`. Purple is the application's: `unread`. Blue all "
    "over is healthy. Shares don't tell how long anything takes: where it is warm, see how long a "
    "provider takes for a request. As long as ever: the pool is too small, or there is a burst. "
    "Longer: the provider is slow, and the queue is what follows. Purple that never drains: "
    "responses are held and nobody reads them."
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
    "Seconds spent in each phase per second, which is how many requests were in it on average. "
    "Unlike a histogram it counts requests that are still running.",
)
CURRENT_BY_PHASE = signal(
    "current_by_phase",
    "How many requests are in which phase?",
    f"sum{by('gluellm.pool.request.current', _PHASE)}({now('gluellm.pool.request.current')})",
    "What holds the connections: `awaiting_response` and `reading` wait for the provider, `unread` "
    "for the application. If these fill the pool while `queued` grows, look which one grew first.",
    of=["gluellm.pool.request.current"],
)
OLDEST_BY_PHASE = signal(
    "oldest_by_phase",
    "How old is the oldest request of each phase?",
    f"max{by('gluellm.pool.request.oldest_age', _PHASE)}({now('gluellm.pool.request.oldest_age')})",
    "A line that rises and never falls is one request that hangs. In `unread` for a minute: a "
    "leak. In `awaiting_response` or `reading` for minutes: possibly just a model that thinks. "
    "`gluellm-pools doctor` reports if the other end of such a silent connection is gone. In "
    "`queued`: nobody gives a connection back.",
    of=["gluellm.pool.request.oldest_age"],
    unit="s",
)
LEASE_OLDEST = signal(
    "lease_oldest_age",
    "How long has the longest held its connection?",
    f"max{by()}({now('gluellm.pool.lease.oldest_age')})",
    "`held longest` is the age of the oldest lease. It grows while a stream only brings pings, "
    "though these restart its phase.",
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
    "How requests ended: the status that the provider gave, or the error where there was none. A "
    "429 is the provider's limit on you; 5xx is the provider's trouble.",
)
ERRORS = signal(
    "request_errors",
    "How many requests fail, and why?",
    f"sum{by('gluellm.pool.requests', 'error.type')}"
    f"({rate('gluellm.pool.requests', {'error.type': '!'})})",
    "Failures that are none of the provider's statuses. `pool_timeout` is the pool's; "
    "`connect_timeout`, `name_resolution_error`, `connection_error`, `secure_connection_error` are "
    "on the way there; `read_timeout` and `read_error` come while the provider should answer; "
    "`cancelled` is the application's own doing.",
    of=["gluellm.pool.requests"],
    unit="/s",
)
RESEND_SHARE = _share_beside(
    "resend_share",
    "Which share of requests is sent again?",
    {"gluellm.request.resend": "!true"},
    "A further request of the same call: a retry of the SDK's. Retries multiply the load on a pool "
    "and on a provider that has trouble already. Above some percent look at the statuses.",
)
ERROR_STATUS_SHARE = _share_beside(
    "error_status_share",
    "Which share of requests is answered with an error status?",
    {
        "http.response.status_code": "!4..|5..",
        "rpc.response.status_code": "|OK|CANCELLED|DEADLINE_EXCEEDED",
    },
    "Of the requests that had a connection, those answered with a status from 400 on, or with what "
    "gRPC has for these. 429 is the provider's limit on you: send less, or ask for more. 5xx is "
    "the provider's trouble, another 4xx the application's. A larger pool helps none of these.",
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
    "Requests that ended in an error of any kind, or in a status from 400 on: those cancelled "
    "count, and each that is sent again counts by itself. The third line of figures says how they "
    "fail.",
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
    "A 429 is the provider's limit on you; 5xx is the provider's trouble. What got no status is "
    "in the panel beside this one.",
    of=["gluellm.pool.requests"],
    unit="/s",
)
ACTIVE_REQUESTS = signal(
    "active_requests",
    "How many requests are under way?",
    f"sum{by()}({now('http.client.active_requests')})",
    "Requests in any phase, waiting ones included.",
    of=["http.client.active_requests"],
)
LEASE_P50 = signal(
    "lease_p50",
    "How long are connections held (p50)?",
    quantile(0.5, "gluellm.pool.lease.duration"),
    "Half of the requests gave their connection back within this time.",
    of=["gluellm.pool.lease.duration"],
    unit="s",
)
LEASE_P95 = essential(
    "lease_p95",
    "From getting a connection to giving it back, to the end of a stream. It speaks only of "
    "requests that are over: connections that are never given back don't show here but in the "
    "oldest age by phase.",
)
TIME_AT_PROVIDER = signal(
    "time_at_provider",
    "How long does the provider take for a request?",
    f"sum{by()}({rate(_TIME, PROVIDERS_PART)}) / "
    f"(sum{by()}({rate('gluellm.pool.requests', CONNECTED)}) > 0)",
    "Time spent awaiting a response and reading it, for each request that ended and had a "
    "connection: one that gave up waiting for it never got to the provider. While requests hang it "
    "rises before any histogram does. If it is as always and calls are slow: it is us. While none "
    "ends the line has ended too, and a figure has the last that was known.",
    of=[_TIME, "gluellm.pool.requests"],
    unit="s",
)
TIME_AT_POOL = signal(
    "time_at_pool",
    "How long does the pool take for a request?",
    f"sum{by()}({rate(_TIME, POOLS_PART)}) / (sum{by()}({rate('gluellm.pool.requests')}) > 0)",
    "Time spent waiting for a connection or a stream, or for connecting, for each request that "
    "ended.",
    of=[_TIME, "gluellm.pool.requests"],
    unit="s",
)
TIME_AT_APPLICATION = signal(
    "time_at_application",
    "How long does the application take for a request?",
    f"sum{by()}({rate(_TIME, APPLICATIONS_PART)}) / "
    f"(sum{by()}({rate('gluellm.pool.requests')}) > 0)",
    "Time that a response was there and nobody read it, for each request that ended.",
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

"""Size of a pool by Little's law, from counters.

`gluellm_diagnosis/littles_law.py` has the reasons, and decision 14 who counts. The average number
of requests that hold a connection is the rate of their time, which includes running requests. A
growing queue means independent arrivals, so the pool has to serve what arrives. A constant queue
means a fixed number of callers, so the pool has to hold what is in it. But if requests give up
waiting, the length of the queue is arrivals times the pool timeout, so it counts as growing.
Retries after that are the same demand again, not arrivals.
"""

from __future__ import annotations

from ..config import PROCESS
from ..query import POOL
from ..variables import PROVIDER
from .signal import by, by_labels, now, rate, signal, total

_TIME = "gluellm.pool.request.time"
_REQUESTS = "gluellm.pool.requests"
_CURRENT = "gluellm.pool.request.current"
_LIVE = "gluellm.pool.live"
_PHASE = "gluellm.request.phase"
SERVED = {"error.type": "!pool_timeout"}
_GROWS = 0.1
"""A queue is growing if it absorbs more than this share of the requests that leave."""
_HALF = 2.33 / 2
"""Half the number of standard deviations from the mean to the 0.99 quantile of the normal
distribution."""

# Without the provider: a pool that several providers share has to be large enough for all of them.
_LABELS = (*PROCESS, *(label for label in POOL if label != PROVIDER))
_EACH = by_labels(*_LABELS)
# `unread` is left out: connections that nobody gives back are no demand.
_HOLDING = f"sum{_EACH}({rate(_TIME, {_PHASE: 'connecting|awaiting_response|reading'})})"
_IN_POOL = f"sum{_EACH}({rate(_TIME, {_PHASE: '!unread'})})"
_LEAVING = f"sum{_EACH}({rate(_REQUESTS)})"
_CALLED = f"sum{_EACH}({rate(_REQUESTS, {'gluellm.request.resend': '!true'})})"
_GIVING_UP = f"sum{_EACH}({rate(_REQUESTS, {'error.type': 'pool_timeout'})})"
_SERVED = f"(sum{_EACH}({rate(_REQUESTS, SERVED)}) > 0)"
_GROWTH = f"sum{_EACH}(deriv({now(_CURRENT, {_PHASE: 'queued'})}[%window%]))"
# Never below what holds one, where more is served than called: what is refused and sent again.
_OFFERED = f"{_HOLDING} * clamp_min(({_CALLED} + clamp_min({_GROWTH}, 0)) / {_SERVED}, 1)"
_LAW = (
    f"(({_OFFERED}) > {_IN_POOL} or ({_IN_POOL} unless ({_GROWTH} > {_GROWS} * {_LEAVING} or "
    f"{_GIVING_UP} > 0)) or {_OFFERED} or {_HOLDING})"
)
_POOLS = f"(sum{by_labels(*PROCESS, *POOL)}({now(_LIVE)}) > 0)"
_OF_ONE_POOL = f"{_LAW} / on ({', '.join(_LABELS)}) group_right () {_POOLS}"

CONCURRENCY = signal(
    "concurrency_wanted", f"max{by()}({_OF_ONE_POOL})", "L of Little's law, without the reserve."
)
# L + z sqrt(L) as a square, so that the law is asked once.
SIZE = signal(
    "size_wanted",
    f"max{by()}(ceil((sqrt({_OF_ONE_POOL}) + {_HALF:g}) ^ 2 - {_HALF**2:.6f}))",
    "Little's law for one pool of the busiest process: L is the arrival rate times the time "
    "that each request holds a connection. The size is L plus a reserve of 2.33 √L, which "
    "suffices 99 % of the time if arrivals are independent. If it is above the limit for longer "
    "than a burst, raise the limit or send fewer requests. Ignore it while the provider is slow "
    "or refuses requests: it then includes requests that hang or are retried. If requests give up "
    "waiting, it is a minimum. Otherwise, if the queue does not grow, L includes the queued "
    "requests, since waiting callers seem to send nothing else. Unread responses do not count, "
    "since a leak is no demand. With HTTP/2, the size is a number of streams. It needs data of at "
    "least four export intervals, and is too high while an event loop is late.",
)
SIZE_NOW = signal(
    "size_wanted_now",
    f"{SIZE.query.template} and {total('gluellm.pool.requests', SERVED)} > 0",
    f"{SIZE.tells} Grey while no request ends: then nobody knows how long one takes.",
)

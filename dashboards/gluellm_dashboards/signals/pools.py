"""Pools as such: how many, how long they live, what they lost."""

from __future__ import annotations

from ..config import SERVICE
from ..query import POOL
from ..variables import PROVIDER
from .signal import by, by_labels, essential, now, over, rate, signal

LIVE = signal(
    "pools_live",
    "How many pools are there?",
    f"sum{by()}({now('gluellm.pool.live')})",
    "Pools that are alive and have served a request. It should be as steady as the number of "
    "processes; a number that grows is clients that nobody closes.",
    of=["gluellm.pool.live"],
)
OPENED = essential(
    "pools_opened",
    "Pools that served their first request. After the start of a process there should be none.",
)
DISCARDED = signal(
    "pools_discarded",
    "How do pools go?",
    f"sum{by('gluellm.pool.discarded', 'gluellm.pool.discard_reason')}"
    f"({rate('gluellm.pool.discarded')})",
    "`garbage_collected` pools were never closed: their connections stayed open until then.",
    of=["gluellm.pool.discarded"],
    unit="/s",
)
CHURN = signal(
    "churn",
    "How many pools does it take for a request?",
    f"sum{by()}({rate('gluellm.pool.opened')}) / (sum{by()}({rate('gluellm.pool.requests')}) > 0)",
    "Close to 0 is healthy: pools serve many requests. Near 1 a client is built for every call, "
    "so nothing is reused and limits bound nothing. Build one client and keep it. The first "
    "minutes of a process are higher.",
    of=["gluellm.pool.opened", "gluellm.pool.requests"],
    unit="ratio",
)
# Without the provider: a pool that several providers share has none, and its requests have theirs.
_EACH = by_labels(*SERVICE, *(label for label in POOL if label != PROVIDER))
_OPENED = f"sum{_EACH}({rate('gluellm.pool.opened')})"
_SERVED = f"sum{_EACH}({rate('gluellm.pool.requests')})"
WORST_CHURN = signal(
    "worst_churn",
    "How many pools does it take for a request, of the worst pool?",
    f"max{by()}({_OPENED} / ({_SERVED} > 0))",
    f"{CHURN.tells} The table says which pool it is.",
    of=["gluellm.pool.opened", "gluellm.pool.requests"],
    unit="ratio",
)
LEAKS_SUSPECTED = essential(
    "leaks_suspected",
    "Connections that were held for longer than the leak threshold with nobody reading. Each "
    "shrinks the pool by one. The log has the place in the code that holds it.",
)
LEAKS = signal(
    "leaks",
    "How many connections were held for too long?",
    f"sum{by()}({over('increase', 'gluellm.pool.leaks')})",
    "Leaks that were seen, those included that were given back later.",
    of=["gluellm.pool.leaks"],
)
ANOMALIES = essential(
    "anomalies",
    "States that a pool should never be in. `waiter_with_idle_connection`: a lost wake-up in the "
    "library; `orphaned_connection`: nobody owns it; `pool_timeout_overrun`: a wait that outlived "
    "its timeout, as behind a blocked event loop; `wrong_event_loop`: requests that failed since "
    "the application uses their client on a second event loop.",
)

"""Pools: number, churn, leaks, anomalies."""

from __future__ import annotations

from ..config import SERVICE
from ..query import POOL
from ..variables import PROVIDER
from .signal import by, by_labels, essential, now, over, rate, signal

LIVE = signal(
    "pools_live",
    "How many pools are there?",
    f"sum{by()}({now('gluellm.pool.live')})",
    "Pools that are alive and have served a request. Their number should be constant. If "
    "it grows, the application builds clients that nobody closes.",
    of=["gluellm.pool.live"],
)
OPENED = essential(
    "pools_opened",
    "Pools that served their first request. After a process has started, there should be "
    "no new ones.",
)
DISCARDED = signal(
    "pools_discarded",
    "How do pools end?",
    f"sum{by('gluellm.pool.discarded', 'gluellm.pool.discard_reason')}"
    f"({rate('gluellm.pool.discarded')})",
    "`garbage_collected` pools were never closed. Until collected, they kept connections open.",
    of=["gluellm.pool.discarded"],
    unit="/s",
)
CHURN = signal(
    "churn",
    "How many pools does it take for a request?",
    f"sum{by()}({rate('gluellm.pool.opened')}) / (sum{by()}({rate('gluellm.pool.requests')}) > 0)",
    "Close to 0 is healthy: each pool serves many requests. Near 1, a client is built for "
    "every call: connections are not reused, and limits have no effect. Build one client "
    "and keep it. The value is higher in the first minutes of a process.",
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
    f"{CHURN.tells} The table shows which pool it is.",
    of=["gluellm.pool.opened", "gluellm.pool.requests"],
    unit="ratio",
)
LEAKS_SUSPECTED = essential(
    "leaks_suspected",
    "Connections held for longer than the leak threshold while nobody reads their answer. "
    "Each one makes the pool smaller by one. The log names the line of code that holds it.",
)
LEAKS = signal(
    "leaks",
    "How many connections were held for too long?",
    f"sum{by()}({over('increase', 'gluellm.pool.leaks')})",
    "Connections that were held unread beyond the leak threshold, including those that "
    "were released later.",
    of=["gluellm.pool.leaks"],
)
ANOMALIES = essential(
    "anomalies",
    "Invalid states. `waiter_with_idle_connection`: the library lost a wake-up. "
    "`orphaned_connection`: a connection that no request uses and that is not idle. "
    "`pool_timeout_overrun`: a wait that exceeded its timeout. `wrong_event_loop`: requests that "
    "failed because their client is used on a second event loop.",
)

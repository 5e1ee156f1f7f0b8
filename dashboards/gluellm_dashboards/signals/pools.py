"""Pools: number, churn, leaks, anomalies."""

from __future__ import annotations

from .signal import by, essential, now, of, signal, total

LIVE = of(
    "pools_live",
    "gluellm.pool.live",
    "Pools that are alive and have served a request. Their number should be constant. If "
    "it grows, the application builds clients that nobody closes.",
)
OPENED = essential(
    "pools_opened",
    "Pools that served their first request. After a process has started, there should be "
    "no new ones.",
)
DISCARDED = of(
    "pools_discarded",
    "gluellm.pool.discarded",
    "`garbage_collected` pools were never closed. Until collected, they kept connections open.",
    "gluellm.pool.discard_reason",
)
CHURN = signal(
    "churn",
    f"{total('gluellm.pool.opened')} / ({total('gluellm.pool.requests')} > 0)",
    "Close to 0 is healthy: each pool serves many requests. Near 1, a client is built for "
    "every call: connections are not reused, and limits have no effect. Build one client "
    "and keep it. The value is higher in the first minutes of a process.",
    "ratio",
)
LEAKS_SUSPECTED = essential(
    "leaks_suspected",
    "Connections held for longer than the leak threshold while nobody reads their answer. "
    'Each one makes the pool smaller by one. The log record "leak suspected" of '
    "`opentelemetry.instrumentation.gluellm` has the line of code that holds it and a trace.",
)
LEAKS = signal(
    "leaks",
    f"sum{by()}(increase({now('gluellm.pool.leaks')}[%window%]))",
    "Connections that were held unread beyond the leak threshold, including those that "
    "were released later.",
)
ANOMALIES = essential(
    "anomalies",
    "Invalid states. `waiter_with_idle_connection`: the library lost a wake-up. "
    "`orphaned_connection`: a connection that no request uses and that is not idle. "
    "`pool_timeout_overrun`: a wait that exceeded its timeout. `wrong_event_loop`: requests that "
    "failed because their client is used on a second event loop.",
)

"""Connections: how many, how full, how they come and go."""

from __future__ import annotations

from .signal import by, essential, now, quantile, rate, signal

_OPENED = "gluellm.pool.connection.opened"
_REQUESTS = "gluellm.pool.requests"
_CREATE = "gluellm.pool.connection.create.duration"
_STEPS = "gluellm.pool.connection.create.time"
TO_CONNECT = "connect_timeout|name_resolution_error|connection_error|secure_connection_error"
"""The error types of requests whose connection could not be established."""
CONNECTED = {"error.type": f"!pool_timeout|{TO_CONNECT}"}
"""Requests that had a connection, as far as their end tells."""

OCCUPANCY = essential(
    "occupancy",
    "Active and connecting connections over the limit, of the fullest pool. Full is no alarm by "
    "itself: what counts is who waits.",
)
OPEN = essential(
    "connections_open",
    "Established connections, by what they do. Idle ones are ready for the next request; few idle "
    "ones and many opened mean that each request pays for a set-up.",
)
ACTIVE = signal(
    "connections_active",
    "How many connections are in use?",
    f"sum{by()}({now('http.client.open_connections', {'http.connection.state': 'active'})})",
    "Connections that hold a request.",
    of=["http.client.open_connections"],
)
IDLE = signal(
    "connections_idle",
    "How many connections are idle?",
    f"sum{by()}({now('http.client.open_connections', {'http.connection.state': 'idle'})})",
    "Connections that are open and unused.",
    of=["http.client.open_connections"],
)
CONNECTING = signal(
    "connections_connecting",
    "How many connections are being established?",
    f"sum{by()}({now('gluellm.pool.connection.connecting')})",
    "If these stay, the provider can't be reached: see the connect failures.",
    of=["gluellm.pool.connection.connecting"],
)
MAX = essential(
    "connections_max",
    "The sum of the limits of all pools of this name. No line means that a pool has no limit.",
)
IDLE_MAX = signal(
    "connections_idle_max",
    "How many connections may stay idle?",
    f"sum{by()}({now('gluellm.pool.connection.idle.max')})",
    "Above it connections are closed when they become idle. Far below the limit, with bursts, it "
    "costs a set-up for most requests of each burst.",
    of=["gluellm.pool.connection.idle.max"],
)
LIMIT = signal(
    "limit",
    "How many connections may one pool have?",
    f"max{by()}({now('gluellm.pool.connection.max')} / ({now('gluellm.pool.live')} > 0))",
    "The limit of a single pool, of the largest where they differ.",
    of=["gluellm.pool.connection.max", "gluellm.pool.live"],
)
LOWEST_LIMIT = signal(
    "lowest_limit",
    "How few connections may one pool have?",
    f"min{by()}({now('gluellm.pool.connection.max')} / ({now('gluellm.pool.live')} > 0))",
    "The limit of a single pool, the lowest where instances differ: the fleet's board says which.",
    of=["gluellm.pool.connection.max", "gluellm.pool.live"],
)
PEAK_ACTIVE = signal(
    "peak_active",
    "How many connections were in use at once, at the worst moment?",
    f"sum{by()}({now('gluellm.pool.peak.active')})",
    "The most at one moment since the last export. At the limit while the line of those in use is "
    "below it: short bursts fill the pool.",
    of=["gluellm.pool.peak.active"],
)
HIGHEST_PEAK = signal(
    "highest_peak",
    "How many connections of one process were in use at once, at the worst moment?",
    f"max{by()}({now('gluellm.pool.peak.active')})",
    "The most at one moment since the last export, of the busiest process.",
    of=["gluellm.pool.peak.active"],
)
OPENED = essential(
    "connections_opened",
    "Each one costs a TCP and a TLS handshake. Close to the rate of requests nothing is reused.",
)
CLOSED_BY_REASON = signal(
    "connections_closed",
    "Why are connections closed?",
    f"sum{by('gluellm.pool.connection.closed', 'gluellm.connection.close_reason')}"
    f"({rate('gluellm.pool.connection.closed')})",
    "`keepalive_expired` and `keepalive_limit` are the pool's own rules; `server_disconnect` and "
    "`goaway` are the other side's; `response_incomplete` and `cancelled` are calls that were left "
    "before their end; `pool_closed` and `garbage_collected` are clients that went away.",
    of=["gluellm.pool.connection.closed"],
    unit="/s",
    on_event=True,
)
CREATE_P50 = signal(
    "create_p50",
    "How long does it take to connect (p50)?",
    quantile(0.5, _CREATE),
    "TCP, TLS and proxy, for half of the connections.",
    of=[_CREATE],
    unit="s",
    on_event=True,
)
CREATE_P95 = signal(
    "create_p95",
    "How long does it take to connect (p95)?",
    quantile(0.95, _CREATE),
    "TCP, TLS and proxy. More than a second, with a blocked event loop ruled out, is the network "
    "or the provider's front door.",
    of=[_CREATE],
    unit="s",
    on_event=True,
)
ESTABLISHING_BY_STEP = signal(
    "establishing_by_step",
    "Which step of connecting takes the time?",
    f"sum{by(_STEPS, 'gluellm.connection.step')}({rate(_STEPS)})",
    "How many connections are in each step, on average. `resolve` is DNS, or a full executor that "
    "resolves names in its threads: `gluellm-pools doctor` tells them apart. `connect` is the "
    "route, `proxy` the proxy, `tls` a CPU that is short at either end. `other` is what the "
    "library does not show.",
    of=[_STEPS],
)
TLS_P95 = signal(
    "tls_p95",
    "How long does TLS take (p95)?",
    quantile(0.95, "gluellm.pool.connection.tls.duration"),
    'The handshake\'s part of connecting. With `metrics="full"` only.',
    of=["gluellm.pool.connection.tls.duration"],
    unit="s",
    on_event=True,
)
CONNECT_FAILURES = essential(
    "connect_failures",
    "Requests whose connection could not be established. 0 is healthy.",
)
CONNECT_FAILURES_BY_KIND = signal(
    "connect_failures_by_kind",
    "Why can't connections be established?",
    f"sum{by(_REQUESTS, 'error.type')}({rate(_REQUESTS, {'error.type': TO_CONNECT})})",
    "`name_resolution_error` is DNS; `connection_error` is refused or reset; `connect_timeout` is "
    "a packet filter or a host that is gone; `secure_connection_error` is TLS: a certificate, or a "
    "proxy.",
    of=[_REQUESTS],
    unit="/s",
)
REUSE_SHARE = signal(
    "reuse_share",
    "Which share of requests found an open connection?",
    f"clamp_min(1 - sum{by()}({rate(_OPENED)}) / (sum{by()}({rate(_REQUESTS, CONNECTED)}) > 0), 0)",
    "Close to 100 % is healthy. Near 0 each request connects anew: a client per call, or a "
    "keep-alive that is shorter than the pauses between requests.",
    of=[_OPENED, _REQUESTS],
    unit="ratio",
)
REUSE_FAILURES = essential(
    "reuse_failures",
    "Requests that failed on a reused connection before a byte of a response came: something "
    "between here and there drops idle connections. Set a keep-alive shorter than its time.",
)
DNS_P95 = signal(
    "dns_p95",
    "How long does resolving a name take (p95)?",
    quantile(0.95, "dns.lookup.duration"),
    'The name\'s part of connecting. With `metrics="full"` only.',
    of=["dns.lookup.duration"],
    unit="s",
    on_event=True,
)
CONNECTION_AGE_P50 = signal(
    "connection_age_p50",
    "How long do connections live (p50)?",
    quantile(0.5, "http.client.connection.duration"),
    'From being established to its close. With `metrics="full"` only.',
    of=["http.client.connection.duration"],
    unit="s",
    on_event=True,
)
CONNECTION_REQUESTS_P50 = signal(
    "connection_requests_p50",
    "How many requests does a connection serve (p50)?",
    quantile(0.5, "gluellm.pool.connection.requests"),
    'Counted at its close. 1 means that nothing is reused. With `metrics="full"` only.',
    of=["gluellm.pool.connection.requests"],
    on_event=True,
)

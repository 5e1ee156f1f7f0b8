"""Connections: number, occupancy, set-up and close."""

from __future__ import annotations

from ..essential import COULD_NOT_CONNECT
from .signal import by, essential, now, quantile, rate, signal

_OPENED = "gluellm.pool.connection.opened"
_REQUESTS = "gluellm.pool.requests"
_CREATE = "gluellm.pool.connection.create.duration"
_STEPS = "gluellm.pool.connection.create.time"
_SILENT = "gluellm.pool.connection.silent"
TO_CONNECT = "|".join(COULD_NOT_CONNECT)
"""The error types of requests whose connection could not be established."""
CONNECTED = {"error.type": f"!pool_timeout|{TO_CONNECT}"}
"""Matches requests that had a connection, as far as their result shows."""

OCCUPANCY = essential(
    "occupancy",
    "(Active + connecting) / limit of the fullest pool. A full pool is no problem as long "
    "as no request waits.",
)
OPEN = essential(
    "connections_open",
    "Established connections by state. Idle ones are ready for the next request. Few idle "
    "ones and many opened ones mean that each request establishes a new connection.",
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
    "Connections being established. If the number stays above 0, the provider can't be "
    "reached: see the connect failures.",
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
    "Connections above this number are closed when they become idle. If it is far below "
    "the limit, bursts have to establish most of their connections again.",
    of=["gluellm.pool.connection.idle.max"],
)
LIMIT = signal(
    "limit",
    "How many connections may one pool have?",
    f"max{by()}({now('gluellm.pool.connection.max')} / ({now('gluellm.pool.live')} > 0))",
    "The limit of a single pool; the largest one if instances differ.",
    of=["gluellm.pool.connection.max", "gluellm.pool.live"],
)
LOWEST_LIMIT = signal(
    "lowest_limit",
    "How few connections may one pool have?",
    f"min{by()}({now('gluellm.pool.connection.max')} / ({now('gluellm.pool.live')} > 0))",
    "The limit of a single pool; the smallest one if instances differ. The fleet board "
    "shows which instances do.",
    of=["gluellm.pool.connection.max", "gluellm.pool.live"],
)
PEAK_ACTIVE = signal(
    "peak_active",
    "How many connections were in use at once, at the worst moment?",
    f"sum{by()}({now('gluellm.pool.peak.active')})",
    "Largest number at one moment since the last export. If it is at the limit while "
    "`active` is below, short bursts fill the pool.",
    of=["gluellm.pool.peak.active"],
)
HIGHEST_PEAK = signal(
    "highest_peak",
    "How many connections of one process were in use at once, at the worst moment?",
    f"max{by()}({now('gluellm.pool.peak.active')})",
    "Largest number at one moment since the last export, of the busiest process.",
    of=["gluellm.pool.peak.active"],
)
OPENED = essential(
    "connections_opened",
    "Each one costs a TCP and a TLS handshake. If this is close to the rate of requests, "
    "connections are not reused.",
)
CLOSED_BY_REASON = signal(
    "connections_closed",
    "Why are connections closed?",
    f"sum{by('gluellm.pool.connection.closed', 'gluellm.connection.close_reason')}"
    f"({rate('gluellm.pool.connection.closed')})",
    "`keepalive_expired` and `keepalive_limit`: the pool's own limits. `server_disconnect` "
    "and `goaway`: the server. `response_incomplete` and `cancelled`: the application left "
    "before the end of the response. `pool_closed` and `garbage_collected`: the client was "
    "closed or dropped.",
    of=["gluellm.pool.connection.closed"],
    unit="/s",
    on_event=True,
)
CREATE_P50 = signal(
    "create_p50",
    "How long does it take to connect (p50)?",
    quantile(0.5, _CREATE),
    "Half of the connections took at most this long, with TCP, TLS and proxy.",
    of=[_CREATE],
    unit="s",
    on_event=True,
)
CREATE_P95 = signal(
    "create_p95",
    "How long does it take to connect (p95)?",
    quantile(0.95, _CREATE),
    "95 of 100 took at most this long. If it is more than a second and no event loop is "
    "blocked, the network or the provider's load balancer is slow.",
    of=[_CREATE],
    unit="s",
    on_event=True,
)
ESTABLISHING_BY_STEP = signal(
    "establishing_by_step",
    "Which step of connecting takes the time?",
    f"sum{by(_STEPS, 'gluellm.connection.step')}({rate(_STEPS)})",
    "Number of connections in each step, on average. `resolve`: DNS, or a full executor "
    "that resolves names in its threads (`gluellm-pools doctor` distinguishes them). "
    "`connect`: the network path. `proxy`: the proxy. `tls`: too little CPU at either end. "
    "`other`: steps that the library does not show.",
    of=[_STEPS],
    unit="s/s",
)
SILENT = signal(
    "connections_silent",
    "Do silent connections still have their other end?",
    f"sum{by(_SILENT, 'gluellm.connection.peer_state')}({now(_SILENT)})",
    "Connections that a request waits on for longer than `peer_check_after`, at most ten of each "
    "pool. `unknown`: no evidence; the provider may be working, or the connection may be lost. "
    "`unacknowledged` and `unreachable`: the host is gone, or the path drops packets. `closed` "
    "and `reset`: the client has not noticed, since it is sending or its loop is blocked. "
    "`not_reading`: the other end does not take the request.",
    of=[_SILENT],
)
TLS_P95 = signal(
    "tls_p95",
    "How long does TLS take (p95)?",
    quantile(0.95, "gluellm.pool.connection.tls.duration"),
    'Time of the handshake. With `metrics="full"` only.',
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
    "`name_resolution_error`: DNS. `connection_error`: refused or reset. "
    "`connect_timeout`: a packet filter, or a host that is down. "
    "`secure_connection_error`: TLS, such as a certificate or a proxy that intercepts it. "
    "`proxy_error`: the proxy refused.",
    of=[_REQUESTS],
    unit="/s",
)
REUSE_SHARE = signal(
    "reuse_share",
    "Which share of requests found an open connection?",
    f"clamp_min(1 - sum{by()}({rate(_OPENED)}) / (sum{by()}({rate(_REQUESTS, CONNECTED)}) > 0), 0)",
    "Close to 100 % is healthy. Near 0, each request establishes a connection: there is a "
    "client per call, or the keep-alive is shorter than the pauses between requests.",
    of=[_OPENED, _REQUESTS],
    unit="ratio",
)
REUSE_FAILURES = essential(
    "reuse_failures",
    "Requests that failed on a reused connection before the first byte of a response. "
    "Something on the path drops idle connections. Let the pool close them earlier, or send "
    "TCP keep-alive probes.",
)
DNS_P95 = signal(
    "dns_p95",
    "How long does resolving a name take (p95)?",
    quantile(0.95, "dns.lookup.duration"),
    'Time to resolve the name. With `metrics="full"` only.',
    of=["dns.lookup.duration"],
    unit="s",
    on_event=True,
)
CONNECTION_AGE_P50 = signal(
    "connection_age_p50",
    "How long do connections live (p50)?",
    quantile(0.5, "http.client.connection.duration"),
    'Time from establishing a connection to closing it. With `metrics="full"` only.',
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

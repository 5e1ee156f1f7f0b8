"""Connections: number, occupancy, set-up and close."""

from __future__ import annotations

from ..essential import COULD_NOT_CONNECT
from .signal import by, essential, now, of, quantile_of, signal, total

_OPENED = "gluellm.pool.connection.opened"
_REQUESTS = "gluellm.pool.requests"
_CREATE = "gluellm.pool.connection.create.duration"
_STEPS = "gluellm.pool.connection.create.time"
_OPEN = "http.client.open_connections"
_STATE = "http.connection.state"
TO_CONNECT = "|".join(COULD_NOT_CONNECT)
"""The error types of requests whose connection could not be established."""
CONNECTED = {"error.type": f"!pool_timeout|{TO_CONNECT}"}
"""Matches requests that had a connection, as far as their result shows."""

OCCUPANCY = essential(
    "occupancy",
    "(Active + connecting) / limit of the fullest pool. A full pool is no problem as long "
    "as no request waits.",
)
ACTIVE = of("connections_active", _OPEN, "Connections that hold a request.", own={_STATE: "active"})
IDLE = of("connections_idle", _OPEN, "Connections that are open and unused.", own={_STATE: "idle"})
CONNECTING = of(
    "connections_connecting",
    "gluellm.pool.connection.connecting",
    "Connections being established. If the number stays above 0, the provider can't be "
    "reached: see the connect failures.",
)
MAX = essential(
    "connections_max",
    "The sum of the limits of all pools of this name. No line means that a pool has no limit.",
)
IDLE_MAX = of(
    "connections_idle_max",
    "gluellm.pool.connection.idle.max",
    "Connections above this number are closed when they become idle. If it is far below "
    "the limit, bursts have to establish most of their connections again.",
)
_PER_POOL = f"{now('gluellm.pool.connection.max')} / ({now('gluellm.pool.live')} > 0)"
LIMIT = signal(
    "limit",
    f"max{by()}({_PER_POOL})",
    "The limit of a single pool; the largest one if instances differ.",
)
LOWEST_LIMIT = signal(
    "lowest_limit",
    f"min{by()}({_PER_POOL})",
    "The limit of a single pool; the smallest one if instances differ. The fleet board "
    "shows which instances do.",
)
PEAK_ACTIVE = of(
    "peak_active",
    "gluellm.pool.peak.active",
    "Largest number at one moment since the last export. If it is at the limit while "
    "`active` is below, short bursts fill the pool.",
)
HIGHEST_PEAK = of(
    "highest_peak",
    "gluellm.pool.peak.active",
    "Largest number at one moment since the last export, of the busiest process.",
    how="max",
)
CLOSED_BY_REASON = of(
    "connections_closed",
    "gluellm.pool.connection.closed",
    "`keepalive_expired` and `keepalive_limit`: the pool's own limits. `server_disconnect` "
    "and `goaway`: the server. `response_incomplete` and `cancelled`: the application left "
    "before the end of the response. `pool_closed` and `garbage_collected`: the client was "
    "closed or dropped.",
    "gluellm.connection.close_reason",
)
CREATE_P50 = quantile_of(
    "create_p50",
    0.5,
    _CREATE,
    "Half of the connections took at most this long, with TCP, TLS and proxy.",
)
CREATE_P95 = quantile_of(
    "create_p95",
    0.95,
    _CREATE,
    "95 of 100 took at most this long. If it is more than a second and no event loop is "
    "blocked, the network or the provider's load balancer is slow.",
)
ESTABLISHING_BY_STEP = of(
    "establishing_by_step",
    _STEPS,
    "Number of connections in each step, on average. `resolve`: DNS, or a full executor "
    "that resolves names in its threads (`gluellm-pools doctor` distinguishes them). "
    "`connect`: the network path. `proxy`: the proxy. `tls`: too little CPU at either end. "
    "`other`: steps that the library does not show.",
    "gluellm.connection.step",
)
SILENT = of(
    "connections_silent",
    "gluellm.pool.connection.silent",
    "Connections that a request waits on for longer than `peer_check_after`, at most ten of each "
    "pool. `unknown`: no evidence; the provider may be working, or the connection may be lost. "
    "`unacknowledged` and `unreachable`: the host is gone, or the path drops packets. `closed` "
    "and `reset`: the client has not noticed, since it is sending or its loop is blocked. "
    "`not_reading`: the other end does not take the request.",
    "gluellm.connection.peer_state",
)
TLS_P95 = quantile_of(
    "tls_p95",
    0.95,
    "gluellm.pool.connection.tls.duration",
    'Time of the handshake. With `metrics="full"` only.',
)
CONNECT_FAILURES = essential(
    "connect_failures", "Requests whose connection could not be established. 0 is healthy."
)
CONNECT_FAILURES_BY_KIND = of(
    "connect_failures_by_kind",
    _REQUESTS,
    "`name_resolution_error`: DNS. `connection_error`: refused or reset. "
    "`connect_timeout`: a packet filter, or a host that is down. "
    "`secure_connection_error`: TLS, such as a certificate or a proxy that intercepts it. "
    "`proxy_error`: the proxy refused.",
    "error.type",
    own={"error.type": TO_CONNECT},
)
_SERVED = total(_REQUESTS, CONNECTED)
REUSE_SHARE = signal(
    "reuse_share",
    f"clamp_min(1 - {total(_OPENED)} / ({_SERVED} > 0), 0)",
    "Close to 100 % is healthy. Near 0, each request establishes a connection: there is a "
    "client per call, or the keep-alive is shorter than the pauses between requests.",
    "ratio",
)
SAVED = signal(
    "saved_by_pooling",
    f"60 * clamp_min({_SERVED} - {total(_OPENED)}, 0) * "
    f"sum{by()}({now(_STEPS)}) / (sum{by()}({now(_OPENED)}) > 0)",
    "What pooling saves: the requests that found an open connection, times the average time that "
    "establishing one has taken since the start (DNS, TCP, TLS, proxy).",
    "s/min",
)
REUSE_FAILURES = essential(
    "reuse_failures",
    "Requests that failed on a reused connection before the first byte of a response. "
    "Something on the path drops idle connections. Let the pool close them earlier, or send "
    "TCP keep-alive probes.",
)
DNS_P95 = quantile_of(
    "dns_p95", 0.95, "dns.lookup.duration", 'Time to resolve the name. With `metrics="full"` only.'
)
CONNECTION_AGE_P50 = quantile_of(
    "connection_age_p50",
    0.5,
    "http.client.connection.duration",
    'Time from establishing a connection to closing it. With `metrics="full"` only.',
)
CONNECTION_REQUESTS_P50 = quantile_of(
    "connection_requests_p50",
    0.5,
    "gluellm.pool.connection.requests",
    'Counted at its close. 1 means that nothing is reused. With `metrics="full"` only.',
)

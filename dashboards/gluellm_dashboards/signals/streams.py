"""HTTP/2 streams and gRPC channels."""

from __future__ import annotations

from .signal import essential, of, quantile_of

ACTIVE = of(
    "streams_active",
    "gluellm.pool.stream.active",
    "HTTP/2 streams with a request in flight. At the limit, further requests wait in the "
    "phase `stream_queued`, however few connections are open.",
)
MAX = of(
    "streams_max",
    "gluellm.pool.stream.max",
    "The peer's limit, or the client's own if that is lower.",
)
ORPHANED = essential(
    "streams_orphaned",
    "Streams whose request has ended while the server still keeps them open. They count "
    "against its limit. Cancelled calls cause them. If they stay, requests will fail with "
    "`protocol_error`.",
)
ACQUIRE_P95 = quantile_of(
    "stream_acquire_p95",
    0.95,
    "gluellm.pool.stream.acquire.duration",
    'Wait for an HTTP/2 stream. With `metrics="full"` only.',
)
CHANNELS = of(
    "channels",
    "gluellm.pool.channel.current",
    "`ready` and `idle` are healthy. `transient_failure`: the provider can't be reached, "
    "so calls fail at once, or wait if they use `wait_for_ready`.",
    "gluellm.channel.state",
)
CHANNEL_TIME = of(
    "channel_time",
    "gluellm.pool.channel.time",
    "Number of channels in each state, on average. It also shows failures that ended "
    "before the next export.",
    "gluellm.channel.state",
)

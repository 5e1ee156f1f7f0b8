"""HTTP/2 streams and gRPC channels."""

from __future__ import annotations

from .signal import by, essential, now, quantile, rate, signal

ACTIVE = signal(
    "streams_active",
    "How many HTTP/2 streams are in use?",
    f"sum{by()}({now('gluellm.pool.stream.active')})",
    "HTTP/2 streams with a request in flight. At the limit, further requests wait in the "
    "phase `stream_queued`, however few connections are open.",
    of=["gluellm.pool.stream.active"],
    on_event=True,
)
MAX = signal(
    "streams_max",
    "How many HTTP/2 streams may there be?",
    f"sum{by()}({now('gluellm.pool.stream.max')})",
    "The peer's limit, or the client's own if that is lower.",
    of=["gluellm.pool.stream.max"],
    on_event=True,
)
ORPHANED = essential(
    "streams_orphaned",
    "Streams whose request has ended while the server still keeps them open. They count "
    "against its limit. Cancelled calls cause them. If they stay, requests will fail with "
    "`protocol_error`.",
)
ACQUIRE_P95 = signal(
    "stream_acquire_p95",
    "How long do requests wait for a stream (p95)?",
    quantile(0.95, "gluellm.pool.stream.acquire.duration"),
    'Wait for an HTTP/2 stream. With `metrics="full"` only.',
    of=["gluellm.pool.stream.acquire.duration"],
    unit="s",
    on_event=True,
)
CHANNELS = signal(
    "channels",
    "In which state are gRPC's channels?",
    f"sum{by('gluellm.pool.channel.current', 'gluellm.channel.state')}"
    f"({now('gluellm.pool.channel.current')})",
    "`ready` and `idle` are healthy. `transient_failure`: the provider can't be reached, "
    "so calls fail at once, or wait if they use `wait_for_ready`.",
    of=["gluellm.pool.channel.current"],
    on_event=True,
)
CHANNEL_TIME = signal(
    "channel_time",
    "Where does the time of gRPC's channels go?",
    f"sum{by('gluellm.pool.channel.time', 'gluellm.channel.state')}"
    f"({rate('gluellm.pool.channel.time')})",
    "Number of channels in each state, on average. It also shows failures that ended "
    "before the next export.",
    of=["gluellm.pool.channel.time"],
    unit="s/s",
    on_event=True,
)

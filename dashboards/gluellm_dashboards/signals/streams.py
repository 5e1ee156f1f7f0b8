"""What shares a connection: HTTP/2's streams, and the channels of gRPC."""

from __future__ import annotations

from .signal import by, essential, now, quantile, rate, signal

ACTIVE = signal(
    "streams_active",
    "How many HTTP/2 streams are in use?",
    f"sum{by()}({now('gluellm.pool.stream.active')})",
    "Streams with a request under way. Compare them with the limit: at it, requests wait in the "
    "phase `stream_queued`, however few connections there are.",
    of=["gluellm.pool.stream.active"],
    on_event=True,
)
MAX = signal(
    "streams_max",
    "How many HTTP/2 streams may there be?",
    f"sum{by()}({now('gluellm.pool.stream.max')})",
    "What the other side allows, or the client itself where that is lower.",
    of=["gluellm.pool.stream.max"],
    on_event=True,
)
ORPHANED = essential(
    "streams_orphaned",
    "Streams whose request is over while the other side still has them open: they count against "
    "its limit. Cancelled calls leave them behind. If they stay, requests will wait for streams.",
)
ACQUIRE_P95 = signal(
    "stream_acquire_p95",
    "How long do requests wait for a stream (p95)?",
    quantile(0.95, "gluellm.pool.stream.acquire.duration"),
    'With `metrics="full"` only.',
    of=["gluellm.pool.stream.acquire.duration"],
    unit="s",
    on_event=True,
)
CHANNELS = signal(
    "channels",
    "In which state are gRPC's channels?",
    f"sum{by('gluellm.pool.channel.current', 'gluellm.channel.state')}"
    f"({now('gluellm.pool.channel.current')})",
    "`ready` and `idle` are healthy. `transient_failure` is a provider that can't be reached: "
    "calls fail at once, or wait if they asked for that.",
    of=["gluellm.pool.channel.current"],
    on_event=True,
)
CHANNEL_TIME = signal(
    "channel_time",
    "Where does the time of gRPC's channels go?",
    f"sum{by('gluellm.pool.channel.time', 'gluellm.channel.state')}"
    f"({rate('gluellm.pool.channel.time')})",
    "How many channels were in the state on average: it shows failures that were over before the "
    "next export.",
    of=["gluellm.pool.channel.time"],
    unit="s/s",
    on_event=True,
)

"""Probes for what the adapter uses, in the installed version. None of them makes a channel."""

from __future__ import annotations

from typing import Any

from ..signatures import has_parameters


def aio_state(core: Any) -> bool:
    """Probe the state of an async channel."""
    return callable(getattr(getattr(core, "AioChannel", None), "check_connectivity_state", None))


def sync_state(core: Any) -> bool:
    """Probe the state of a sync channel."""
    return callable(getattr(getattr(core, "Channel", None), "check_connectivity_state", None))


def aio_channel(channel: Any) -> bool:
    """Probe the target of an async channel."""
    return channel is not None and has_parameters(channel.__init__, "target")


def aio_call(kind: Any) -> bool:
    """Probe the parameters that an async call is made with."""
    return kind is not None and has_parameters(
        kind.__init__, "channel", "deadline", "wait_for_ready"
    )


def aio_end(core: Any) -> bool:
    """Probe an async call's status, and the callback for its arrival."""
    call = getattr(core, "_AioCall", None)
    return callable(getattr(call, "add_done_callback", None)) and hasattr(call, "_status")


def aio_head(stream: Any) -> bool:
    """Probe the task that ends when an async call's response begins."""
    return "_preparation" in getattr(stream, "__annotations__", {})


def aio_read(aio: Any, stream: Any) -> bool:
    """Probe an async call's reads, and the value that ends them."""
    return hasattr(aio, "EOF") and callable(getattr(stream, "_read", None))


def sync_channel(core: Any, inside: Any) -> bool:
    """Probe the object that represents a sync channel, and the channel's target."""
    return (
        callable(getattr(getattr(core, "Channel", None), "target", None))
        and has_parameters(getattr(getattr(inside, "Channel", None), "__init__", None), "target")
        and has_parameters(
            getattr(getattr(inside, "_ChannelCallState", None), "__init__", None), "channel"
        )
    )


def sync_call(owner: Any, method: str) -> bool:
    """Probe the parameters that a sync call is made with."""
    return has_parameters(getattr(owner, method, None), "timeout", "wait_for_ready")


def sync_end(inside: Any) -> bool:
    """Probe the callback for a sync call's status, and the call's finalizer."""
    in_queue = getattr(inside, "_Rendezvous", None)
    return all(callable(getattr(in_queue, name, None)) for name in ("add_callback", "__del__"))

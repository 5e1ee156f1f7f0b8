"""Whether the installed version has what is read of its objects. No channel is made for that."""

from __future__ import annotations

from typing import Any

from .calls import has_arguments


def aio_state(core: Any) -> bool:
    """The state of an async channel."""
    return callable(getattr(getattr(core, "AioChannel", None), "check_connectivity_state", None))


def sync_state(core: Any) -> bool:
    """The state of a sync channel."""
    return callable(getattr(getattr(core, "Channel", None), "check_connectivity_state", None))


def aio_channel(channel: Any) -> bool:
    """Where an async channel leads."""
    return channel is not None and has_arguments(channel.__init__, "target")


def aio_call(kind: Any) -> bool:
    """What a call was made with."""
    return kind is not None and has_arguments(
        kind.__init__, "channel", "deadline", "wait_for_ready"
    )


def aio_end(core: Any) -> bool:
    """Being told that an async call has its status, and the status."""
    call = getattr(core, "_AioCall", None)
    return callable(getattr(call, "add_done_callback", None)) and hasattr(call, "_status")


def aio_head(stream: Any) -> bool:
    """Being told that an async call's answer has begun."""
    return "_preparation" in getattr(stream, "__annotations__", {})


def aio_read(aio: Any, stream: Any) -> bool:
    """An async call's reads, and what ends them."""
    return hasattr(aio, "EOF") and callable(getattr(stream, "_read", None))


def sync_channel(core: Any, inside: Any) -> bool:
    """What keeps a sync channel, and where it leads."""
    return (
        callable(getattr(getattr(core, "Channel", None), "target", None))
        and has_arguments(getattr(getattr(inside, "Channel", None), "__init__", None), "target")
        and has_arguments(
            getattr(getattr(inside, "_ChannelCallState", None), "__init__", None), "channel"
        )
    )


def sync_call(owner: Any, method: str) -> bool:
    """What a sync call was made with."""
    return has_arguments(getattr(owner, method, None), "timeout", "wait_for_ready")


def sync_end(inside: Any) -> bool:
    """Being told that a sync call has its status."""
    in_queue = getattr(inside, "_Rendezvous", None)
    return all(callable(getattr(in_queue, name, None)) for name in ("add_callback", "__del__"))

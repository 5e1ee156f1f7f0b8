"""gRPC channels of clients."""

from __future__ import annotations

import sys
from typing import Any

_HOLDERS = ("_api_channel", "_management_channel", "_channel", "channel", "_client", "client")
_DEEPEST = 4


def grpc_channels(client: Any) -> list[Any]:
    """The channels of a client that holds some, such as xai_sdk's.

    For a channel, the channel itself. Empty for anything else, and if gRPC was never imported.
    """
    found: list[Any] = []
    _search(client, _DEEPEST, found)
    return found


def _search(holder: Any, depth: int, found: list[Any]) -> None:
    aio = getattr(sys.modules.get("grpc.aio._channel"), "Channel", ())
    sync = getattr(sys.modules.get("grpc._channel"), "Channel", ())
    pool = None
    if isinstance(holder, aio):
        pool = holder
    elif isinstance(holder, sync):
        pool = holder._call_state
    if pool is not None:
        if not any(pool is other for other in found):
            found.append(pool)
        return
    if depth:
        for name in _HOLDERS:
            # Not ``getattr``: a property may build something, or raise outside an event loop.
            inner = getattr(holder, "__dict__", {}).get(name)
            if inner is not None:
                _search(inner, depth - 1, found)

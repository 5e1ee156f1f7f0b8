"""gRPC channels of clients."""

from __future__ import annotations

import sys
from typing import Any

from ..holders import first_held

_CHANNELS = ("_api_channel", "_management_channel", "_channel", "channel")
"""Attributes with a channel. A client of xai_sdk has the first two."""


def grpc_channels(client: Any) -> list[Any]:
    """The channels of a client that holds some, such as xai_sdk's.

    For a channel, the channel itself. Empty for anything else, and if gRPC was never imported.
    """
    return first_held(client, _held_by, ("_client", "client"))


def _held_by(holder: Any) -> list[Any]:
    aio = getattr(sys.modules.get("grpc.aio._channel"), "Channel", ())
    sync = getattr(sys.modules.get("grpc._channel"), "Channel", ())
    # Not ``getattr``: a property may build something, or raise outside an event loop.
    attributes = getattr(holder, "__dict__", {})
    found = {id(each): each for each in (holder, *map(attributes.get, _CHANNELS))}.values()
    synchronous = [each._call_state for each in found if isinstance(each, sync)]
    return [*(each for each in found if isinstance(each, aio)), *synchronous]

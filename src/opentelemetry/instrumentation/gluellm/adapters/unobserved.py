"""Imported libraries whose requests no adapter observes."""

from __future__ import annotations

import sys

_OWN_TRANSPORTS = ("curl_cffi", "dspy", "niquests")
"""dspy has an HTTP transport of its own from 3.4 on."""
_WEBSOCKETS = frozenset({"websockets.asyncio.client", "websockets.sync.client"})


def unobserved() -> tuple[str, ...]:
    """Return the names of the imported libraries that are known to be unobserved."""
    found = [name for name in _OWN_TRANSPORTS if name in sys.modules]
    # Other programs use websockets for other servers.
    if "openai" in sys.modules and not _WEBSOCKETS.isdisjoint(sys.modules):
        found.append("websockets (openai's realtime API)")
    return tuple(found)

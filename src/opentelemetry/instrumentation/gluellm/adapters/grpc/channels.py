"""The channel of a call, its origin and its state."""

from __future__ import annotations

import re
import weakref
from typing import Any
from urllib.parse import unquote

from ...pool.counts import Occupancy, PoolSums
from ...pool.durations import in_seconds
from ..scope import LibraryReader
from .channel import SHUTDOWN, STATES, ChannelTracker, ChannelView

# The pool is the channel. A sync channel is represented by its ``_call_state``, which its stubs
# keep alive and which closes the connections when it is collected. The channel object itself may be
# gone long before that.
ORIGIN = "_gluellm_origin"
"""On a channel: host, port and scheme of its target."""
AIO_CORE, SYNC_CORE = "_channel", "channel"
"""The attribute of a channel that holds its inner object."""

Origin = tuple[bytes, int | None, bytes]

_UNKNOWN: Origin = (b"", None, b"https")
_RESOLVERS = frozenset({"dns", "ipv4", "ipv6", "xds", "passthrough", "google-c2p"})
_PORT = re.compile(r"[0-9]{1,5}")
_PATHS = ("unix:", "unix-abstract:", "vsock:")


def _origin_of(target: str) -> Origin:
    """Host, port and scheme of a target, parsed like gRPC's name resolution.

    Socket paths and lists of addresses are not reported. Without a port, gRPC uses 443.
    """
    if target.startswith(_PATHS):
        return _UNKNOWN
    scheme, colon, rest = target.partition(":")
    if colon and scheme in _RESOLVERS:
        # dns:///host:port, dns://authority/host:port, ipv4:address:port
        target = rest[2:].partition("/")[2] if rest.startswith("//") else rest
    target = unquote(target).strip("/")
    if "," in target or "/" in target:
        return _UNKNOWN
    host, colon, port = target.rpartition(":")
    if not colon or not _PORT.fullmatch(port) or (":" in host and not host.endswith("]")):
        host, port = target, ""
    host = host.removeprefix("[").removesuffix("]")
    return host.encode("ascii", "replace"), int(port) if port else None, b"https"


class KnownChannels:
    """The channels of one kind, by their inner object.

    A call knows only the inner object of its channel, which takes neither attributes nor weak
    references.
    """

    def __init__(self, inside: str) -> None:
        self._inside = inside
        """Name of the attribute of a channel that holds the inner object."""
        self.references: dict[int, weakref.ref[Any]] = {}

    def add(self, pool: Any) -> None:
        """Keep a weak reference to a channel for as long as the channel lives."""
        key = id(getattr(pool, self._inside))
        references = self.references

        def forget(gone: weakref.ref[Any]) -> None:
            # The garbage collector calls this; another channel may have the same id by now.
            if references.get(key) is gone:
                references.pop(key, None)

        references[key] = weakref.ref(pool, forget)

    def of(self, core: Any) -> Any:
        """The channel with this inner object; None if it is unknown."""
        reference = self.references.get(id(core))
        pool = None if reference is None else reference()
        return pool if pool is None or getattr(pool, self._inside) is core else None


def target_of(core: Any) -> Any:
    """The target of a channel, from its inner object; None if it is not exposed.

    Sync channels have a method for it. Async channels have an attribute, but not in gRPC 1.72, for
    example.
    """
    target = getattr(core, "target", None)
    return target() if callable(target) else target


def note_origin(pool: Any, target: object) -> Origin:
    """Parse a channel's target and store the origin on the channel."""
    if isinstance(target, bytes):
        target = target.decode("utf-8", "replace")
    origin = _origin_of(target) if isinstance(target, str) else _UNKNOWN
    setattr(pool, ORIGIN, origin)
    return origin


def state_of(core: Any) -> int:
    """The state of a channel by gRPC's number. Reading it does not make the channel connect."""
    try:
        state: int = core.check_connectivity_state(False)
    except ValueError:
        return SHUTDOWN  # what a closed sync channel raises
    return state


def look(core: Any, tracker: ChannelTracker) -> None:
    """Record the current state of a channel, and end its tracking if it is shut down."""
    state = state_of(core)
    if state != tracker.state:
        tracker.seen(state)
        if state == SHUTDOWN:
            tracker.discard("closed")


class ChannelReader(LibraryReader[ChannelTracker]):
    """Reads channels. Only the state of an async one is read: reading a sync one's takes its lock.

    gRPC does not expose the limits and connections of a channel.
    """

    kind = ChannelTracker

    def adopt(self, pool: Any, tracker: ChannelTracker) -> None:  # noqa: ARG002
        tracker.ledger.channels[tracker] = None

    def count(self, pool: Any, tracker: ChannelTracker, counts: PoolSums) -> Occupancy:  # noqa: ARG002
        _look_at_async(pool, tracker)
        return 0, None, None

    def view(self, pool: Any, tracker: ChannelTracker) -> ChannelView:
        _look_at_async(pool, tracker)
        return ChannelView(
            state=STATES[tracker.state], state_age=in_seconds(tracker.clock() - tracker.since)
        )


def _look_at_async(pool: Any, tracker: ChannelTracker) -> None:
    core = getattr(pool, AIO_CORE, None)
    if core is not None:
        look(core, tracker)

"""Which channel a call belongs to, where it leads, and the state that it is in."""

from __future__ import annotations

import re
import weakref
from typing import Any
from urllib.parse import unquote

from ...pool.channel import SHUTDOWN, TrackedChannel
from ...pool.counts import Tally
from ...pool.reader import PoolView
from ...pool.tracker import PoolTracker
from .marks import ORIGIN

Origin = tuple[bytes, int | None, bytes]

_UNKNOWN: Origin = (b"", None, b"https")
_RESOLVERS = frozenset({"dns", "ipv4", "ipv6", "xds", "passthrough", "google-c2p"})
_PORT = re.compile(r"[0-9]{1,5}")
_PATHS = ("unix:", "unix-abstract:", "vsock:")


def origin_of(target: str) -> Origin:
    """Host, port and scheme of a target as gRPC's name resolution reads it.

    A socket's path is not told, nor is a list of addresses. Without a port, gRPC takes 443.
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
    """The channels of one kind by gRPC's own object inside, which takes neither notes nor weak
    references and is all that a call knows of its channel."""

    def __init__(self, inside: str) -> None:
        self._inside = inside
        """The attribute of a channel that has that object."""
        self.references: dict[int, weakref.ref[Any]] = {}

    def add(self, pool: Any) -> None:
        """Know a channel for as long as it lives."""
        key = id(getattr(pool, self._inside))
        references = self.references

        def forget(gone: weakref.ref[Any]) -> None:
            # The garbage collector calls this, and the number may be another channel's by now.
            if references.get(key) is gone:
                references.pop(key, None)

        references[key] = weakref.ref(pool, forget)

    def of(self, core: Any) -> Any:
        """The channel with this object inside; None where it is not known."""
        reference = self.references.get(id(core))
        pool = None if reference is None else reference()
        return pool if pool is None or getattr(pool, self._inside) is core else None


def adopt(pool: Any, tracker: PoolTracker) -> None:  # noqa: ARG001
    """A channel's tracking begins. Its state is looked at when its first call has begun."""
    tracker.channel = TrackedChannel(tracker, tracker.tracked_at)


def target_of(core: Any) -> Any:
    """Where a channel leads, as gRPC's object inside has it: sync by a method, async not.

    That of async channels is not told by 1.72, for one.
    """
    target = getattr(core, "target", None)
    return target() if callable(target) else target


def note_origin(pool: Any, target: object) -> Origin:
    """Keep where a channel leads, with the channel."""
    if isinstance(target, bytes):
        target = target.decode("utf-8", "replace")
    origin = origin_of(target) if isinstance(target, str) else _UNKNOWN
    setattr(pool, ORIGIN, origin)
    return origin


def state_of(core: Any) -> int:
    """The state of a channel by gRPC's number, without making it connect."""
    try:
        state: int = core.check_connectivity_state(False)
    except ValueError:
        return SHUTDOWN  # what a closed sync channel raises
    return state


def look(core: Any, tracker: PoolTracker) -> None:
    """Note the state of a channel now. One that was closed behind our back is closed."""
    channel = tracker.channel
    if channel is None:
        return
    state = state_of(core)
    if state != channel.state:
        channel.seen(state)
        if state == SHUTDOWN:
            tracker.discard("closed")


class ChannelReader:
    """What the core asks channels by.

    ``looks`` tells whether a channel may be asked for its state at any time: to ask a sync one
    takes its lock.
    """

    def __init__(self, inside: str, *, looks: bool) -> None:
        self.inside = inside
        self.looks = looks

    def count(self, pool: Any, tracker: PoolTracker, counts: Tally) -> None:
        """There is nothing to count: gRPC tells of no connection. But the state is looked at."""
        counts.busy = 0
        counts.maximum = counts.idle_maximum = None
        if self.looks:
            look(getattr(pool, self.inside), tracker)

    def view(self, pool: Any, tracker: PoolTracker) -> PoolView:
        """Look at the channel."""
        if self.looks:
            look(getattr(pool, self.inside), tracker)
        return PoolView(
            max_connections=None,
            max_idle_connections=None,
            keepalive_expiry=None,
            tcp_keepalive=None,
            connections=(),
        )

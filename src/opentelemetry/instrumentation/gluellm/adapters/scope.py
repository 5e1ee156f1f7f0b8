"""Which requests are observed, and under which owner. The rules are the same for every library."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from ..pool.call import Bytes, Call
from ..pool.call_site import CallSite
from ..pool.lease import Lease, TrackedConnection
from ..pool.ledger import OTHER, Owner
from ..pool.reader import PoolReader, Sockets, TrackerT, seconds_or_none
from ..pool.registry import PoolRegistry
from ..pool.tracker import PoolTracker
from .callers import exporter_on_stack, gluellm_on_stack, sdk_on_stack
from .error_types import verify_code
from .marks import BUILT_AT, BUILT_BY, OWNER, TRACKER
from .replacements import after_init

EXCLUDED = Owner("", None)
"""Owner of a pool that is not observed: the user excluded it, or an exporter sends through it."""
_EVENT_STREAMS = ("text/event-stream", "application/vnd.amazon.eventstream")

ModelRequest = tuple["str | None", "str | None", "str | None"]
"""Provider (any-llm's key), operation and model of a request that calls a model, as far as they are
known."""
FirstRequest = tuple[str, "float | None", "ModelRequest | None"]
"""Host and read timeout (seconds, None without one) of a pool's first request, and what it calls if
it calls a model."""


class LibraryReader(PoolReader[TrackerT], Protocol[TrackerT]):
    """Reads the pools of one library, also when their tracking begins."""

    kind: ClassVar[type[PoolTracker]] = PoolTracker
    """What tracks a pool of the library."""

    def adopt(self, pool: Any, tracker: TrackerT) -> None:  # noqa: ARG002
        """Create the records of the connections that a pool has when its tracking begins."""
        return

    def is_synchronous(self, pool: Any) -> bool:  # noqa: ARG002
        """Whether synchronous code uses the pool, as far as that is known."""
        return False

    def sockets(self, pool: Any, wanted: Container[TrackedConnection]) -> Sockets:  # noqa: ARG002
        """None, for a library that does not show them."""
        return ()


@dataclass(frozen=True, slots=True)
class Scope:
    """Answers for one library the question of every hook: is this request observed?

    A pool's tracker and owner are attributes of the pool, with defaults on its class (``marks``).
    Hooks that run for every request check inline whether a pool is in scope, and call `enter` for
    the first request that is. Those of async libraries also set the tracker's ``loop``; no event
    loop is watched for libraries that block threads. Later hooks find the
    request's lease, and check ``lease.tracker.registry``: after ``uninstrument()`` a replacement
    that can't be removed passes everything on.
    """

    library: str
    """The value of ``gluellm.pool.library``."""
    reader: LibraryReader[Any]
    registry: PoolRegistry
    current_call: Callable[[], Call | None]
    """The call of any-llm or an SDK that the running code is in, ended or not."""
    suppressed: Callable[[], bool]
    """Whether OpenTelemetry's key that suppresses instrumentation is set in the running code."""
    note_streaming: bool = False
    """Whether to note which responses are event streams."""
    everything: bool = False
    """Whether pools that carry no requests to LLMs are in scope (``scope="all"``)."""
    calls_model: Callable[..., ModelRequest | None] = lambda *_: None
    """What a POST to a host, a port and a path calls, if it calls a model and is in no call."""
    begin_call: Callable[..., Call | None] = lambda *_: None
    """Begins a call of source ``http``; None if calls are not counted."""

    def claim(self, pool: Any) -> None:
        """Store on a new pool its call site, and the any-llm provider or SDK that it is for."""
        call = self._call()
        # GlueLLM builds a client for each event loop, not for the line that calls it.
        if call is not None or not gluellm_on_stack():
            setattr(pool, BUILT_AT, self._call_site(call))
        if call is not None and call.provider is not None and not call.sdk:
            if getattr(pool, OWNER, None) is None:
                setattr(pool, OWNER, Owner(call.provider, call.provider))
        elif self.everything:
            setattr(pool, BUILT_BY, sdk_on_stack())

    def built(self, original: Any) -> Any:
        """Make the replacement for a constructor that claims what it has built."""
        return after_init(self.claim, self.registry.failures, f"{self.library}.claim")(original)

    def outside(self) -> None:
        """Count a request of a pool out of scope, unless an exporter sends the request.

        For callers that have checked ``registry.counts_outside``.
        """
        registry = self.registry
        try:
            if self.suppressed() and exporter_on_stack():
                return
            registry.outside += 1
        except Exception as error:
            registry.failures.caught(f"{self.library}.outside", error)

    def enter(
        self, pool: Any, first_of: Callable[..., FirstRequest | None], *request: Any
    ) -> PoolTracker | None:
        """Start to track a pool that has no tracker; return None if the pool is not in scope.

        ``first_of`` takes ``request``; it returns None if the pool must not be tracked.
        """
        registry = self.registry
        if not registry.open or getattr(pool, OWNER, None) is EXCLUDED:
            return None
        try:
            tracker = registry.trackers.get(id(pool)) or self._track(pool, first_of, request)
            if tracker is not None:
                # Each thread with a first request stores it, before the pool connects for it.
                setattr(pool, TRACKER, tracker)
            return tracker
        except Exception as error:
            registry.failures.caught(f"{self.library}.track", error)
            return None

    def failed(
        self, lease: Lease, error: BaseException, kind_of: Callable[..., str | None], *further: Any
    ) -> None:
        """End the lease of a request that a pool or its connection failed with ``error``.

        ``kind_of`` takes the lease, ``error`` and ``further``, and returns the ``error.type``; None
        if the pool did not admit the request. Raises only what a signal handler raises.
        """
        try:
            if lease.ended_at:
                return
            tracker = lease.tracker
            kind = kind_of(lease, error, *further)
            if kind is None:
                tracker.discard_lease(lease)
                return
            if lease.connection is not None:
                lease.connection.verify_code = verify_code(error)
            if kind == "pool_timeout":
                # Before the exception reaches the application, which may log it.
                self.registry.observer.lease_timed_out(lease, error)
            tracker.failed(lease, kind, in_finalizer=isinstance(error, GeneratorExit))
        except Exception as own:
            self.registry.failures.caught(f"{self.library}.failed", own)
            lease.error = lease.error or OTHER  # or the lease would end as cancelled

    def _call(self) -> Call | None:
        call = self.current_call()
        return None if call is None or call.ended else call

    def _call_site(self, call: Call | None) -> CallSite | None:
        return self.registry.find_call_site() if call is None else call.call_site

    def _track(
        self, pool: Any, first_of: Callable[..., FirstRequest | None], request: tuple[Any, ...]
    ) -> PoolTracker | None:
        call = self._call()
        first = first_of(*request)
        owner = None if first is None else self._owner(pool, call, calls_model=bool(first[2]))
        if owner is None or first is None:
            return None
        host, read_timeout, found = first
        provider = found[0] if found is not None else None

        def adopt(pool: Any, tracker: PoolTracker) -> None:
            tracker.read_timeout = seconds_or_none(read_timeout)
            tracker.built_at = getattr(pool, BUILT_AT, None)
            tracker.used_at = self._call_site(call)
            if self.reader.is_synchronous(pool):
                tracker.synchronous = True
                tracker.ledger.pools_synchronous += 1
            try:
                self.reader.adopt(pool, tracker)
            except Exception as error:
                # Requests are counted anyway, without the connections that the pool already had.
                self.registry.failures.caught(f"{self.library}.adopt", error)

        return self.registry.track(
            pool,
            self.reader,
            owner=owner,
            library=self.library,
            kind=self.reader.kind,
            host=host,
            provider=provider if call is None else call.provider,
            adopt=adopt,
        )

    def _owner(self, pool: Any, call: Call | None, *, calls_model: bool) -> Owner | None:
        owner: Owner | None = getattr(pool, OWNER, None)
        if owner is EXCLUDED:
            return None
        handed_in = owner is not None and owner.provider is None
        if not handed_in and self.suppressed() and exporter_on_stack():
            setattr(pool, OWNER, EXCLUDED)
            return None
        if owner is not None and owner.name:
            return owner
        if call is not None and call.provider is not None and not call.sdk:
            return Owner(call.provider, None)
        if call is None and not (handed_in or calls_model or self.everything):
            return None
        name: str | None = getattr(pool, BUILT_BY, None)
        if name is None:
            name = sdk_on_stack() or self.library
            setattr(pool, BUILT_BY, name)
        return Owner(name, None)


def note_content_type(lease: Lease, content_type: str) -> None:
    """Record whether a response is a stream of events, as LLM providers send it."""
    if content_type.lower().startswith(_EVENT_STREAMS):
        lease.streaming = True
        call = lease.call
        if call is not None and call.single and call.counted is not None:
            call.counted.streams_to(Bytes(lease))

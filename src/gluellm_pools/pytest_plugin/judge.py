"""Judge the pools of one test: what began within it, by the rules of ``diagnose()`` if possible."""

from __future__ import annotations

import ipaddress
import time
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace

from gluellm_diagnosis.findings import Finding, Kind, Severity
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, diagnose, snapshot
from opentelemetry.instrumentation.gluellm.concurrency import snapshot_of
from opentelemetry.instrumentation.gluellm.pool.describe import LONGEST
from opentelemetry.instrumentation.gluellm.pool.durations import SECOND
from opentelemetry.instrumentation.gluellm.pool.lease import Lease
from opentelemetry.instrumentation.gluellm.pool.ledger import BuiltAt, OriginLedger, PoolLedger
from opentelemetry.instrumentation.gluellm.pool.registry import PoolRegistry
from opentelemetry.instrumentation.gluellm.pool.tracker import PoolTracker
from opentelemetry.instrumentation.gluellm.text import call_site_text, counted
from opentelemetry.instrumentation.gluellm.vocabulary import UNREAD

_CHURN = 3
"""Clients for one origin within a test that are too many."""
_NO_TIMEOUT = ("httpcore", "httpcore2", "httpx", "httpx2", "aiohttp", "urllib3")
"""Libraries with read timeouts."""


class Test:
    """The state when a test begins, to distinguish what the test adds."""

    __test__ = False  # pytest collects classes of this name

    def __init__(self) -> None:
        self._registry = _registry()
        self._began = time.monotonic_ns() if self._registry is None else self._registry.clock()
        self._before = {origin: _counts(origin) for _, origin in self._origins()}
        self._failed = {ledger: _second_loops(ledger) for ledger in self._ledgers()}
        self._unread: list[Lease] = []
        self._leak: Finding | None = None

    def requests(self) -> int:
        """Return the number of requests that entered a pool within the test."""
        return sum(one.entered - self._of(one)[1] for _, one in self._origins())

    def note_unread(self) -> None:
        """Note the answers that are unread now."""
        self._unread = [
            lease
            for tracker in self._trackers()
            for lease in snapshot_of(tracker.leases.keys)
            if lease.phase == UNREAD and lease.entered_at >= self._began and not lease.ended_at
        ]
        if self._unread:
            self._leak = self._leaked()

    def findings(self, checks: Collection[str]) -> list[str]:
        """Return the findings as text, now that the test's fixtures have ended."""
        if self._registry is not _registry():  # the test has instrumented the process itself
            return []
        found: list[Finding | None] = []
        if "leak" in checks and any(map(_is_open, self._unread)):
            found.append(self._leak)
        if "churn" in checks:
            found += self._churned()
        if "second-loop" in checks:
            found.append(self._in_two_loops())
        if "no-read-timeout" in checks:
            found += map(_without_timeout, filter(self._waits_for_ever, self._trackers()))
        return [str(one) for one in found if one is not None]

    def _ledgers(self) -> Collection[PoolLedger]:
        registry = self._registry
        return [] if registry is None else snapshot_of(registry.ledgers.pools.values)

    def _trackers(self) -> Collection[PoolTracker]:
        return [] if self._registry is None else snapshot_of(self._registry.trackers.values)

    def _origins(self) -> Iterator[tuple[PoolLedger, OriginLedger]]:
        for ledger in self._ledgers():
            for origin in snapshot_of(ledger.origins.values):
                yield ledger, origin

    def _of(self, origin: OriginLedger) -> tuple[int, int, Counter[BuiltAt]]:
        return self._before.get(origin, (0, 0, Counter()))

    def _elapsed(self) -> float:
        return 0.0 if self._registry is None else (self._registry.clock() - self._began) / SECOND

    def _leaked(self) -> Finding | None:
        """Return the finding of ``diagnose()`` on the unread answers of this test."""
        now, elapsed = snapshot(), self._elapsed()
        pools = tuple(
            replace(
                pool,
                requests=tuple(
                    replace(request, leak_suspected=request.phase == "unread")
                    for request in pool.requests
                    if request.age <= elapsed
                ),
            )
            for pool in now.pools
        )
        found = diagnose(replace(now, pools=pools))
        return next((one for one in found if one.kind == Kind.LEAK), None)

    def _churned(self) -> Iterator[Finding]:
        for ledger, origin in self._origins():
            (built, entered, sites), before = _counts(origin), self._of(origin)
            built -= before[0]
            if built < _CHURN:
                continue
            requests = entered - before[1]
            most = (sites - before[2]).most_common(1)
            where = f". Most are {_builder(most[0][0])}" if most else ""
            yield Finding(
                kind=Kind.CLIENT_CHURN,
                severity=Severity.WARNING,
                pool=f"{ledger.name}/{ledger.library}",
                observed=f"{built} clients for {origin.address} sent {counted(requests, 'request')}"
                f"{where}.",
                explanation="A client that is built for each call reuses no connection.",
                advice="Build one client and keep it, as for the life of the program.",
            )

    def _in_two_loops(self) -> Finding | None:
        """Return a finding on a client that this test used on two loops, unless it was older."""
        trackers = self._trackers()
        own = [one for one in trackers if one.tracked_at >= self._began]
        sites = [tuple(map(str, one.loops.values())) for one in own if len(one.loops) > 1]
        older = any(one.two_loops for one in trackers if one.tracked_at < self._began)
        for ledger in self._ledgers() if not older else ():
            if _second_loops(ledger) > self._failed.get(ledger, 0) and ledger.two_loops:
                sites.append(tuple(str(site or "") for site in ledger.two_loops))
        if not sites:
            return None
        first, second = (site or "an unknown call site" for site in sites[0][:2])
        return Finding(
            kind=Kind.WRONG_EVENT_LOOP,
            severity=Severity.ERROR,
            observed=f"A client is used on two event loops: at {first}, and at {second}.",
            explanation="A connection belongs to the event loop in which it was established. A "
            "request that reuses it in another loop fails.",
            advice="Use one event loop, or build a client in each.",
        )

    def _waits_for_ever(self, tracker: PoolTracker) -> bool:
        return (
            tracker.tracked_at >= self._began
            and tracker.read_timeout is None
            and tracker.ledger.library in _NO_TIMEOUT
            and any(not _is_loopback(one.origin.address) for one in tracker.connections)
        )


def _registry() -> PoolRegistry | None:
    installation = GlueLLMInstrumentor._installation
    return None if installation is None else installation.registry


def _second_loops(ledger: PoolLedger) -> int:
    return ledger.anomalies.get("wrong_event_loop", 0)


def _counts(origin: OriginLedger) -> tuple[int, int, Counter[BuiltAt]]:
    """Return the numbers of pools, requests, and pools of each call site so far."""
    sites = {site: site.pools for site in snapshot_of(origin.built_at.values)}
    return origin.pools, origin.entered, Counter(sites)


def _is_open(lease: Lease) -> bool:
    """Whether no code closed the answer: it is still open, or was cut off with its client."""
    closing = None if lease.connection is None else lease.connection.closing
    return not lease.ended_at or closing == "pool_closed"


def _without_timeout(tracker: PoolTracker) -> Finding:
    built = f", built at {tracker.built_at}" if tracker.built_at else ""
    return Finding(
        kind=Kind.READ_TIMEOUT,
        severity=Severity.WARNING,
        pool=f"{tracker.ledger.name}/{tracker.ledger.library}",
        observed=f"The client waits for an answer without a limit{built}.",
        explanation="A connection that was lost silently makes its request hang for ever.",
        advice="Set a read timeout, such as timeout=120.",
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _builder(most: BuiltAt) -> str:
    """Describe the call site that builds pools, and the one that uses them if it is another."""
    built, used = most.call_site, most.used_at
    text = f"built at {call_site_text(str(built), LONGEST)}"
    if used is None or used.key == built.key:
        return text
    return f"{text}, and used at {call_site_text(str(used), LONGEST)}"

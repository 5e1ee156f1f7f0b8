"""Collection of a snapshot. Takes no lock and touches no socket, so it may run anywhere."""

from __future__ import annotations

import errno
import os
import sys
import time
from base64 import b64encode
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import Path
from types import CodeType
from typing import Any

from .. import environment
from ..concurrency import snapshot_of, snapshot_of_queue, threads_are_greenlets
from ..patching import Hooks
from ..pool.call import CallsNow, LiveCalls
from ..pool.call_site import CallSite
from ..pool.counts import PoolSums
from ..pool.describe import trace_id
from ..pool.durations import SECOND, in_seconds, longest_of, nanoseconds
from ..pool.lease import ConnectionView, Lease, LeaseState, Workers, read_states
from ..pool.ledger import Answered, Failed, OriginLedger, PoolLedger
from ..pool.reader import seconds_or_none
from ..pool.registry import PoolRegistry
from ..pool.tracker import PoolTracker
from ..vocabulary import CALLS, PHASES, QUEUED, STAGES, STEPS, TIMES, Item, Subject
from ..watch.account import Account, Reading, count_outbox, read_ledgers
from ..watch.loop_lag import LoopLag
from ..watch.silent_peers import SilentPeers
from . import parts
from .parts import Numbers, calls_counted, outcome_of
from .snapshot import Snapshot

_LOCAL_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
_DESCRIPTORS = ("/proc/self/fd", "/dev/fd")
_FRAMEWORKS = {
    *("agents.models", "langchain_anthropic", "langchain_openai", "litellm", "pydantic_ai.models")
}

_Executors = dict[object, tuple[Workers, Counter[str]]]
"""By executor: its threads, and by pool the requests in them that hold a connection."""


def collect(
    registry: PoolRegistry,
    *,
    began: int,
    leak_threshold: float,
    loop_lag: LoopLag | None,
    leak_suspects: Iterable[Lease] = (),
    silent_peers: SilentPeers,
    account: Account,
    calls_per_minute: int | None = None,
    hooks: Iterable[Hooks] = (),
    observed: tuple[str, ...] = (),
    unobserved: tuple[str, ...] = (),
) -> Snapshot:
    """Return a snapshot of every live pool.

    ``began`` is when counting began, in nanoseconds of the registry's clock. ``leak_threshold`` is
    in seconds. ``calls_per_minute`` is the limit of GlueLLM's rate limiter.
    """
    count_outbox(registry)  # before the pools, which have the rings
    now = registry.clock()
    executors: _Executors = {}
    suspects = frozenset(leak_suspects)
    trackers = snapshot_of(registry.trackers.values)
    busy_at, stack = loop_lag.busy(now) if loop_lag is not None else ({}, ())
    sites = _Sites()
    busy = sum(1 for tracker in trackers if tracker.leases)
    listed = min(parts.LISTED, max(parts.LISTED_IN_ALL // max(busy, 1), 2))
    requests = _Requests(suspects, silent_peers, sites, listed)
    pools = [_pool(tracker, executors, requests, sites) for tracker in trackers]
    count_outbox(registry)
    counts, calls = registry.state(now)[1], registry.calls.state()
    reading = read_ledgers(registry, calls, counts, now)
    numbers = _numbers(reading)
    return Snapshot(
        taken_at=time.time(),
        uptime=in_seconds(now - began),
        leak_threshold=leak_threshold,
        process=parts.ProcessSnapshot(
            pid=os.getpid(),
            open_descriptors=_open_descriptors(),
            descriptor_limit=_descriptor_limit(),
            local_ports=_local_ports(),
            event_loop_lag=in_seconds(loop_lag.peak(now)) if loop_lag is not None else None,
            greenlets=threads_are_greenlets(),
            event_loop_late=in_seconds(loop_lag.late(now)) if loop_lag is not None else None,
            event_loop_late_share=loop_lag.recent_share(now) if loop_lag is not None else None,
            peer_check_after=silent_peers.after,
            event_loop_late_causes=loop_lag.recent_causes(now) if loop_lag is not None else {},
            event_loop_busy_at=busy_at,
            event_loop_stack=stack,
            ignored_variables=tuple(
                name
                for name in environment.HTTPX_VARIABLES.values()
                if os.environ.get(name) and name not in environment.applied
            ),
            gluellm="gluellm" in sys.modules,
            any_llm="any_llm" in sys.modules,
            frameworks=tuple(sorted(_FRAMEWORKS & sys.modules.keys())),
            executors=tuple(
                parts.ExecutorSnapshot(
                    threads=workers.maximum,
                    waiting=workers.waiting,
                    requests=held.total(),
                    anyio=workers.anyio,
                    pools=tuple(label for label, _ in held.most_common()),
                )
                for workers, held in executors.values()
            ),
            calls_per_minute=calls_per_minute,
            calls=tuple(_calls(state, numbers) for state in calls),
            requests_outside_scope=registry.outside,
            libraries_observed=observed,
            libraries_unobserved=unobserved,
            missing_hooks=tuple(
                f"{one.library}: {hook}" for one in hooks for hook in one.missing()
            ),
        ),
        totals=_totals(registry, counts, numbers, sites, now),
        account=_account(account, reading, numbers, began, now),
        pools=tuple(pool for pool in pools if pool is not None),
    )


class _Sites:
    """Texts of call sites. Many requests share one, and its line is costly to find."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], tuple[CodeType, str]] = {}
        """By ``id()`` of the code object, which is costly to hash, and instruction."""

    def text(self, site: CallSite | None) -> str | None:
        """Return a call site as text; None for an unknown one."""
        if site is None:
            return None
        key = id(site.code), site.instruction
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = site.code, str(site)
        return found[1]


# Live pools


def _pool(
    tracker: PoolTracker, executors: _Executors, requests: _Requests, sites: _Sites
) -> parts.PoolSnapshot | None:
    leases = read_states(tracker.leases)  # before the connections, as in PoolRegistry
    view = tracker.view()
    if view is None:
        return None
    ledger = tracker.ledger
    now = tracker.clock()
    index = {id(connection.record): i for i, connection in enumerate(view.connections)}
    found = parts.PoolSnapshot(
        name=ledger.name,
        provider=ledger.provider,
        library=ledger.library,
        age=in_seconds(now - tracker.tracked_at),
        requests_entered=tracker.entered,
        max_connections=view.max_connections,
        max_idle_connections=view.max_idle_connections,
        max_connections_per_origin=view.max_connections_per_origin,
        limits_from=view.limits_from,
        keepalive_expiry=view.keepalive_expiry,
        tcp_keepalive=view.tcp_keepalive,
        pool_timeout=seconds_or_none(tracker.acquire_timeout),
        read_timeout=tracker.read_timeout,
        synchronous=tracker.synchronous,
        channel_state=view.state,
        channel_state_age=view.state_age,
        built_at=sites.text(tracker.built_at),
        connections=tuple(_connection(connection, now) for connection in view.connections),
        requests=(*requests.of(leases, index, now),),
        queued_before=view.queued_before,
        threads=view.workers.maximum if view.workers is not None else None,
        # 1.3 ms for a full ring, and there can be thousands of pools of one name.
        leases=b64encode(ledger.ring.times(tracker.tracked_at, now)).decode()
        if ledger.live == 1
        else "",
    )
    if view.workers is not None:
        _, held = executors.setdefault(view.workers.executor, (view.workers, Counter()))
        held[found.label] += parts.number_of(r for r in found.requests if r.held is not None)
    return found


def _connection(view: ConnectionView, now: int) -> parts.ConnectionSnapshot:
    record = view.record
    return parts.ConnectionSnapshot(
        origin=_origin(record.origin),
        state=view.state,
        protocol=record.protocol,
        age=in_seconds(now - record.created_at),
        requests_served=record.served,
        streams_active=len(record.streams) if record.streams is not None else None,
        streams_max=view.streams_max,
        streams_orphaned=len(record.orphans) if record.streams is not None else None,
        held_before=view.held_before,
        silence=in_seconds(now - record.heard_at)
        if view.held_before is not None and record.heard_at
        else None,
    )


_Entry = tuple[Lease, LeaseState]
_Whose = tuple[str | None, str | None, str | None, CallSite | None, float | None]
"""Provider, model, operation, call site and pool timeout of a request."""
_NOBODYS: _Whose = (None, None, None, None, None)


class _Requests:
    """Lists the requests of a snapshot's pools, and counts those beyond the bound."""

    def __init__(
        self, suspects: Container[Lease], peers: SilentPeers, sites: _Sites, listed: int
    ) -> None:
        """Create one that lists ``listed`` requests of a pool."""
        self._listed = listed
        self._suspects = suspects
        self._peers = peers
        self._sites = sites
        # A rule also compares ages with the one from which peers are checked.
        self._bounds = sorted(map(nanoseconds, {*parts.AGES, peers.after or 0.0}))

    def of(
        self, leases: Sequence[_Entry], index: dict[int, int], now: int
    ) -> Iterator[parts.RequestSnapshot]:
        """Yield the requests of a pool. ``index`` has the places of its connections."""
        listed, others = self._divided(leases)
        for lease, state in listed:
            call, site = lease.call, lease.call_site
            what, times = self._facts(lease, state, now)
            yield self._request(
                what,
                _whose(lease),
                times,
                connection=index.get(id(lease.connection)) if what[1] else None,
                trace_id=trace_id(lease),
                correlation_id=call.correlation_id if call is not None else None,
                stack=site.frames if site is not None and site.stack else (),
            )
        alike: dict[Any, tuple[Any, _Whose, list[int]]] = {}
        bounds = self._bounds
        for lease, state in others:
            what, times = self._facts(lease, state, now)
            whose = _whose(lease)
            in_phase, age, item_wait, held_for, silence = times
            key: Any = (
                what,
                bisect_right(bounds, in_phase),
                bisect_right(bounds, age) if age != in_phase else None,
                bisect_right(bounds, item_wait) if item_wait else None,
            )
            site = whose[3]
            named = (key, *whose[:3], whose[4], site and id(site.code), site and site.instruction)
            found = alike.get(named)
            if found is None:
                if len(alike) >= parts.LISTED:
                    named, whose = key, _NOBODYS
                found = alike.setdefault(named, (what, whose, [0] * 6))
            # Added up at once: the garbage collector would look at the times of each.
            sums = found[2]
            sums[0] += 1
            sums[1] += in_phase
            sums[2] += age
            if item_wait or held_for or silence:
                sums[3] += item_wait
                sums[4] += held_for
                sums[5] += silence
        for what, whose, (number, *sums) in alike.values():
            means = [each // number for each in sums]
            yield self._request(what, whose, means, number=number)

    def _divided(self, leases: Sequence[_Entry]) -> tuple[Sequence[_Entry], Sequence[_Entry]]:
        """Return the requests to list, see `parts.PoolSnapshot.requests`, and the others."""
        if len(leases) <= self._listed:
            return leases, ()
        queued: list[_Entry] = []
        others: list[_Entry] = []
        for entry in leases:
            (queued if entry[1][1] == QUEUED else others).append(entry)
        others.sort(key=lambda entry: (entry[0] not in self._suspects, entry[1][2]))
        most = max(self._listed // 2, self._listed - len(queued))
        rest = self._listed - len(others[:most])
        # The leases are in the order of their entry.
        return others[:most] + queued[:rest], others[most:] + queued[rest:]

    def _facts(self, lease: Lease, state: LeaseState, now: int) -> tuple[Any, Sequence[int]]:
        """Return what does not depend on the moment, and times in nanoseconds.

        The former are phase, whether it holds a connection, origin, suspicion, whether its items
        are silent, and state of its peer. The latter are its time in the phase and in all, how long
        its reader waits for an item, for how long it holds a connection and its peer is silent.
        """
        _, phase, since, acquired_at = state
        age = now - lease.entered_at
        if phase == QUEUED:
            return (phase, False, lease.origin, False, False, None), (age, age, 0, 0, 0)
        held = lease.has_connection and acquired_at > 0
        peer, heard_at = self._peers.state(lease, since) or (None, now)
        counted = None if lease.call is None else lease.call.counted
        calls: LiveCalls = lease.tracker.registry.calls
        item_wait, silent = (0, False) if counted is None else calls.item_wait(counted, now)
        what = phase, held, lease.origin, lease in self._suspects, silent, peer
        return what, (now - since, age, item_wait, now - acquired_at if held else 0, now - heard_at)

    def _request(
        self, what: Any, whose: _Whose, times: Sequence[int], **one: Any
    ) -> parts.RequestSnapshot:
        phase, held, origin, suspected, silent, peer = what
        provider, model, operation, site, pool_timeout = whose
        phase_age, age, item_wait, held_for, silence = [max(time, 0) / SECOND for time in times]
        return parts.RequestSnapshot(
            origin=_origin(origin),
            phase=PHASES[phase],
            phase_age=phase_age,
            age=age,
            held=held_for if held else None,
            pool_timeout=pool_timeout,
            provider=provider,
            model=model,
            operation=operation,
            call_site=self._sites.text(site),
            leak_suspected=suspected,
            item_wait=item_wait or None,
            items_silent=silent,
            peer=peer,
            peer_silence=silence,
            **one,
        )


def _whose(lease: Lease) -> _Whose:
    call, timeout = lease.call, None if lease.wait is None else lease.wait.timeout
    if call is None:
        return lease.origin.provider, None, None, lease.own_call_site, timeout
    return call.provider, call.model, call.operation, call.call_site, timeout


def _origin(origin: OriginLedger) -> str:
    return origin.address if origin.port is None else f"{origin.address}:{origin.port}"


# Totals


def _totals(
    registry: PoolRegistry, counts: PoolSums, numbers: Numbers, sites: _Sites, now: int
) -> tuple[parts.PoolTotals, ...]:
    return tuple(
        parts.PoolTotals(
            name=ledger.name,
            provider=ledger.provider,
            library=ledger.library,
            pools_opened=ledger.pools_opened,
            pools_synchronous=ledger.pools_synchronous,
            pools_live=ledger.live,
            pools_discarded=sum(ledger.discarded.values()),
            connections_opened=ledger.opened,
            connections_closed=dict(snapshot_of(ledger.closed.items)),
            requeues=ledger.requeues,
            peak_active=ledger.active.highest(now),
            peak_queued=ledger.queued.highest(now),
            streams_most=ledger.streams_most,
            leaks=ledger.leaks,
            leaked_at=None if ledger.leaked_at is None else str(ledger.leaked_at),
            anomalies=dict(ledger.anomalies),
            two_event_loops=None
            if ledger.two_loops is None
            else (str(ledger.two_loops[0] or ""), str(ledger.two_loops[1] or "")),
            closed_at=None if ledger.closed_at is None else str(ledger.closed_at),
            channel_seconds={
                state: in_seconds(time)
                for (what, state), time in ledger.counters(now).items()
                if what == "state_time" and state is not None
            }
            or None,
            origins=_origins(ledger, counts, numbers),
            failures=_failures(ledger.failed, sites, now),
            answers=_answers(ledger.answered, sites, now),
            earlier_answers=_answers(ledger.sampled, sites, now),
        )
        for ledger in snapshot_of(registry.ledgers.pools.values)
    )


def _failures(failed: deque[Failed], sites: _Sites, now: int) -> tuple[parts.Failure, ...]:
    return tuple(
        parts.Failure(
            ago=in_seconds(max(now - one.ended_at, 0)),
            result=str(one.result),
            age=in_seconds(one.age),
            phase=PHASES[one.phase],
            phase_age=in_seconds(one.phase_age),
            model=one.model,
            call_site=sites.text(one.call_site),
            head=in_seconds(one.head),
            verify_code=one.verify_code,
        )
        for one in snapshot_of_queue(failed)
    )


def _answers(answered: deque[Answered], sites: _Sites, now: int) -> tuple[parts.Answer, ...]:
    return tuple(
        parts.Answer(
            ago=in_seconds(max(now - one.ended_at, 0)),
            model=one.model,
            head=in_seconds(one.head),
            rest=in_seconds(one.rest),
            items=one.items,
            number=one.number,
            call_site=sites.text(one.call_site),
            gap=in_seconds(one.gap),
        )
        for one in snapshot_of_queue(answered)
    )


def _origins(
    ledger: PoolLedger, counts: PoolSums, numbers: Numbers
) -> tuple[parts.OriginTotals, ...]:
    found = []
    for origin in snapshot_of(ledger.origins.values):
        running = counts.requests[origin]
        built_at = snapshot_of(origin.built_at.values)
        items = numbers.get(
            (f"{ledger.name}/{ledger.library}", _origin(origin), origin.provider), {}
        )
        found.append(
            parts.OriginTotals(
                origin=_origin(origin),
                provider=origin.provider,
                pools=origin.pools,
                pools_built_at={str(built.call_site): built.pools for built in built_at},
                requests_entered=origin.entered,
                phase_seconds={phase: items.get(("phase", phase), 0.0) for phase in PHASES},
                requests_now=dict(zip(PHASES, running.count, strict=True)),
                outcomes=tuple(outcome_of(items, item) for item in items if item[0] == "left"),
                timeouts=dict(origin.timeouts),
                reuse_failures=origin.reuse_failures,
                longest_silence_failed=in_seconds(origin.longest_silence),
                longest_silence_answered=in_seconds(origin.longest_answered),
                requests_lost_peer=origin.lost_peers,
                requests_resent=origin.resent,
                set_up_seconds={s: items.get(("step", s), 0.0) for s in (*STEPS, "thread")},
                requests_on_new_connection=origin.on_new_connection,
                protocols=tuple(sorted(snapshot_of(origin.protocols.copy))),
            )
        )
    return tuple(found)


# Calls


def _calls(state: CallsNow, numbers: Numbers) -> parts.CallsSnapshot:
    ledger = state.ledger
    return parts.CallsSnapshot(
        provider=ledger.provider,
        source=ledger.source,
        now=dict(zip(STAGES, state.count, strict=True)),
        oldest=dict(zip(STAGES, map(in_seconds, state.oldest), strict=True)),
        **calls_counted(numbers.get((CALLS, ledger.source, ledger.provider), {})),
        unseen=state.unseen,
        silent=state.silent,
        oldest_silence=in_seconds(state.silence) if ledger.streamed else None,
        ages={longest_of(number): count for number, count in enumerate(state.ages) if count},
    )


def _account(
    account: Account, reading: Reading, total: Numbers, began: int, now: int
) -> parts.Account:
    held_at, held = account.held or (began, ())
    return parts.Account(
        row=in_seconds(account.row),
        total=total,
        rows=_rows(account.minutes(now, reading), began),
        before=_rows(account.added_in(held), began),
        before_until=in_seconds(max(held_at - began, 0)),
    )


def _rows(minutes: Iterable[tuple[int, int, Reading]], began: int) -> tuple[parts.AccountRow, ...]:
    return tuple(
        parts.AccountRow(
            since=in_seconds(max(since - began, 0)),
            until=in_seconds(max(until - began, 0)),
            numbers=_numbers(added),
        )
        for since, until, added in minutes
        if added
    )


def _numbers(reading: Reading) -> dict[Subject, dict[Item, float]]:
    found: dict[Subject, dict[Item, float]] = {}
    for (subject, item), value in reading.items():
        of_subject = found.setdefault(subject, {})
        of_subject[item] = round(in_seconds(value), 6) if item[0] in TIMES else value
    return found


# The process


def _open_descriptors() -> int | None:
    for path in _DESCRIPTORS:
        try:
            return sum(1 for _ in os.scandir(path)) - 1  # without the descriptor of this listing
        except OSError as error:
            if error.errno == errno.EMFILE:
                return _descriptor_limit()
    return None


def _local_ports() -> int | None:
    try:
        first, last = map(int, _LOCAL_PORTS.read_text().split())
    except (OSError, ValueError):
        return None
    return last - first + 1


def _descriptor_limit() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if limit == resource.RLIM_INFINITY else limit

"""Rule: connections that requests hold since before the observation began."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from opentelemetry.instrumentation.gluellm import thresholds
from opentelemetry.instrumentation.gluellm.snapshots.parts import LOST_PEERS, ConnectionSnapshot
from opentelemetry.instrumentation.gluellm.text import counted, seconds

from ..case import PoolCase
from ..findings import Finding, Kind, Meaning
from ..severity import severity

_LOCAL = re.compile(r"localhost|127\.|10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|\[?::1\b")


def held_before(case: PoolCase) -> Finding | None:
    """Detect that such connections hold up a pool, or that nothing can come of them.

    Their ages are unknown. The evidence is the queue, their phases and how long they are silent.
    """
    held = [one for one in case.connections if one.held_before is not None]
    queued = case.queued_now + sum(pool.queued_before for pool in case.pools)
    busy = sum(pool.active + pool.connecting for pool in case.pools)
    full = queued > 0 and busy >= (case.maximum or busy + 1)
    most = len(held) >= max(1, thresholds.LIKELY_LEAK_SHARE * busy)
    cause = _cause(case, held, full=full) if most else None
    if cause is None:
        return None
    kind, (explanation, advice) = cause
    again = f"gluellm-pools doctor --attach {case.process.pid} --for 60"
    # Without an age, nothing was observed.
    advice += "" if case.age else f" If new ones begin, this shows where: {again}"
    phases = Counter(one.held_before for one in held)
    silences = sorted(one.silence for one in held if one.silence is not None)
    known = [f"{count} {phase}" for phase, count in phases.most_common() if phase]
    times = dict.fromkeys(map(seconds, (*silences[:1], *silences[-1:])))
    known += [f"no byte for {' to '.join(times)}"] if times else []
    of = f" of {case.maximum}" if case.maximum and len(case.pools) == 1 else ""
    are = "connection is" if len(held) == 1 and not of else "connections are"
    return Finding(
        kind=kind,
        severity=severity(stuck=full or kind is Kind.SILENT_CONNECTIONS, threatens=True),
        observed=f"{len(held)}{of} {are} held by requests that began before the observation"
        f"{': ' if known else ''}{', '.join(known)}; {counted(queued, 'request')} queued.",
        explanation=explanation,
        advice=advice,
    )


def _cause(
    case: PoolCase, held: Sequence[ConnectionSnapshot], *, full: bool
) -> tuple[Kind, Meaning] | None:
    """Return why most of these connections are held, and what to do; None if nothing is wrong."""
    phases = Counter(one.held_before for one in held)
    lost = Counter(LOST_PEERS[one.peer] for one in held if one.peer in LOST_PEERS)
    if lost:
        why = ", ".join(f"{text} ({count})" for text, count in lost.most_common())
        return Kind.SILENT_CONNECTIONS, Meaning(
            f"No answer can come any more: {why}.",
            "Cancel these requests and send them again. A read timeout ends them earlier.",
        )
    if 2 * phases["unread"] >= len(held):
        return Kind.LEAK, Meaning(
            "No task or thread reads these answers. A streamed answer is neither read to its end "
            "nor closed, and keeps its connection, possibly forever.",
            f"{case.advisor.end_answers()}.",
        )
    silent = any((one.silence or 0.0) >= thresholds.SILENT_FOR for one in held)
    if silent and 2 * phases["awaiting_response"] >= len(held):
        local = all(_LOCAL.match(one.origin) for one in held)
        check = "Look at that server" if local else "Check the provider's status page"
        return Kind.SLOW_PROVIDER, Meaning(
            "The provider has not begun to answer these requests.",
            f"{check}. A read timeout ends such requests earlier.",
        )
    if full:
        return Kind.POOL_SATURATED, Meaning(
            "The pool is at its limit. It is not known for how long, and why.",
            "Look again in a minute: requests that are still listed hang.",
        )
    return None

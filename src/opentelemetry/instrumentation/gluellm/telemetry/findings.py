"""The series of the findings that are active in the process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from ..pool.ledger import GONE_REPORTED
from ..watch.judgement import ERROR, Active
from . import semconv
from .attributes import Attributes

MOST_FINDINGS = 60
"""Bound on the series at one time, without those that have ended."""
MAX_SETS = 1_000
"""Bound on the attribute sets for the life of the process, as of a histogram."""


class FindingSeries:
    """Findings as series: 1 while active, and 0 for ten minutes after that.

    Findings beyond a bound are summed under the kind ``_OTHER``, errors last.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget all series, in a forked child."""
        self._reported: dict[frozenset[tuple[str, str]], tuple[Attributes, int]] = {}
        """Attributes of each series, and when it was last above 0."""
        self._known: set[frozenset[tuple[str, str]]] = set()

    def points(
        self, active: Iterable[Active], pools: Mapping[str, Attributes], now: int
    ) -> list[tuple[Attributes, int]]:
        """Return the series with their values. ``pools`` has the attributes of each pool."""
        values: Counter[frozenset[tuple[str, str]]] = Counter()
        for number, one in enumerate(sorted(active, key=lambda one: one.severity != ERROR)):
            attributes = _attributes(one, pools)
            key = frozenset(attributes.items())
            if number >= MOST_FINDINGS or (key not in self._known and len(self._known) >= MAX_SETS):
                attributes = {
                    semconv.FINDING_KIND: semconv.OTHER,
                    semconv.FINDING_SEVERITY: one.severity,
                }
                key = frozenset(attributes.items())
            self._known.add(key)
            values[key] += 1
            self._reported[key] = attributes, now
        ended = [key for key, (_, last) in self._reported.items() if now - last >= GONE_REPORTED]
        for key in ended:
            del self._reported[key]
        return [(attributes, values[key]) for key, (attributes, _) in self._reported.items()]


def _attributes(active: Active, pools: Mapping[str, Attributes]) -> Attributes:
    finding = active.finding
    found: Attributes = {
        semconv.FINDING_KIND: str(finding.kind),
        semconv.FINDING_SEVERITY: active.severity,
    }
    if finding.pool is not None:
        # The attributes of the pool's other series, so that queries can join them.
        return found | pools.get(finding.pool, {})
    if finding.provider is not None:
        found[semconv.PROVIDER_NAME] = semconv.registered_provider_name(finding.provider)
    if finding.source is not None:
        found[semconv.CALL_SOURCE] = finding.source
    return found

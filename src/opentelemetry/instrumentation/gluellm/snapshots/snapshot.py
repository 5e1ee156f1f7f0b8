"""Snapshot of all live pools and of the counts so far, at one moment.

A snapshot is frozen and contains only numbers and text. So it can be kept, compared and sent, and
it keeps no pool, connection or task alive.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .format import restored, written
from .parts import Account, PoolSnapshot, PoolTotals, ProcessSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All live pools, the totals by pool name, and the process, at one moment."""

    taken_at: float
    """Seconds since the epoch."""
    uptime: float
    """Seconds of the monotonic clock since ``instrument()``, or since the fork in a forked child.
    The totals cover this time."""
    leak_threshold: float
    """Seconds; 0 if leak detection is off."""
    process: ProcessSnapshot
    pools: tuple[PoolSnapshot, ...] = ()
    totals: tuple[PoolTotals, ...] = ()
    account: Account = field(default_factory=Account)
    """What calls and requests did in each minute of the last hour."""

    def to_dict(self) -> dict[str, Any]:
        """Return the snapshot as dicts, lists, strings, numbers and None, for ``json.dumps``.

        It contains nothing that telemetry and the log do not: no path or query of a URL, no header,
        key, prompt or answer.
        """
        return written(self)

    @classmethod
    def from_dict(cls, content: Any) -> Snapshot:
        """Return the snapshot that ``to_dict`` wrote, also in another process and version.

        Ignores unknown fields. Raises ValueError that names the field and what was expected.
        """
        return restored(cls, content)

    def __str__(self) -> str:
        from .text import snapshot_text
        from .windows import windows

        compared = windows(self.account, self.uptime)
        rows = self.account.rows
        return snapshot_text(
            self.taken_at,
            self.uptime,
            self.process,
            self.pools,
            self.totals,
            compared,
            quiet_for=self.uptime - rows[-1].until if rows else 0.0,
        )

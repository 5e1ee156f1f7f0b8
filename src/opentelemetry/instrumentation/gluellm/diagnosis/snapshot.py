"""Snapshot of all live pools and of the counts so far, at one moment.

A snapshot is frozen and contains only numbers and text. So it can be kept, compared and sent, and
it keeps no pool, connection or task alive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

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
        """Return the snapshot as dicts, lists, strings, numbers and None, for ``json.dumps``."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain

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


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_name(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(entry) for entry in value]
    return value


def _name(key: Any) -> str:
    parts = key if isinstance(key, tuple) else (key,)
    return " ".join("-" if part is None else str(part) for part in parts)

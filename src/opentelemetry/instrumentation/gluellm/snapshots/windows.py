"""Windows of the process's own account that are compared with each other."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import thresholds
from ..vocabulary import CALLS, Item, Subject
from .parts import Account, AccountRow, Numbers


def named(items: Mapping[Item, float], what: str) -> Any:
    """Return a Counter of the items with this first word, by their second word."""
    return Counter({item[1]: value for item, value in items.items() if item[0] == what})


@dataclass(frozen=True, slots=True)
class Window:
    """What calls and requests did in a period. Times are seconds."""

    period: float
    numbers: Mapping[Subject, Counter[Item]]

    def of_calls(self, provider: str | None, source: str) -> Counter[Item]:
        """Return what the calls to a provider through a library did."""
        return self.numbers.get((CALLS, source, provider), Counter())


@dataclass(frozen=True, slots=True)
class Windows:
    """The judged time and the times that it is compared with."""

    latest: Window
    """The last 30 to 90 s of the judged time: what worked before cannot hide what fails now."""
    recent: Window
    quiet: Window
    """A longer time that ends now, for services with few calls."""
    before: Window | None
    """Time before ``recent``; None if there is none to compare with."""


def windows(account: Account, now: float, recent: int = thresholds.ACCOUNT_RECENT) -> Windows:
    """Return the last minutes before ``now``, 5 by default, and a time of the hour before.

    That is the older half of that hour: what is wrong now may have begun before the last minutes,
    and must not be compared with itself. In a young process it is minutes 2 to 5, and the last
    minutes are those after it. A process younger than that has only the last minutes.
    """
    since = now - recent * account.row
    # What is wrong now may have begun before the finding did.
    until = account.before_until if account.before else math.inf
    usual = min(since, until - thresholds.ACCOUNT_RECENT * account.row)
    rows, hour = account.before or account.rows, thresholds.ACCOUNT_ROWS * account.row
    earlier = [row for row in rows if 0 <= usual - row.until < hour]
    begin = min((row.since for row in earlier), default=usual)
    half = begin + max((usual - begin) / 2, thresholds.ACCOUNT_RECENT * account.row)
    earlier = [row for row in earlier if row.since < half]
    if _period(earlier) < thresholds.ACCOUNT_RECENT * account.row:
        earlier = _minutes_2_to_5(rows, account.row, now, until)
        since = max([since, *(row.until for row in earlier)])
    latest = [row for row in account.rows if row.until > since]
    since = min([since, *(row.since for row in latest)])
    quiet = now - thresholds.ACCOUNT_QUIET * account.row
    last = [row for row in latest if row.until > now - account.row / 2]
    return Windows(
        _window(last, now - min((row.since for row in last), default=now)),
        _window(latest, now - max(since, 0.0)),
        _window([row for row in account.rows if row.until > quiet], now - max(quiet, 0.0)),
        _window(earlier, _period(earlier)) if earlier else None,
    )


def _minutes_2_to_5(
    rows: Sequence[AccountRow], row: float, now: float, finding: float
) -> list[AccountRow]:
    """Return these rows once a minute has followed, up to a minute before a finding began.

    Caches are cold in the first minute.
    """
    if not rows or now < rows[0].since + (thresholds.ACCOUNT_RECENT + 1) * row:
        return []
    return [one for one in rows[1 : thresholds.ACCOUNT_RECENT] if one.until <= finding - row]


def _period(rows: Sequence[AccountRow]) -> float:
    return rows[-1].until - rows[0].since if rows else 0.0


def before_or_first_third(before: Window | None, account: Account, now: float) -> Window:
    """Return the time before or, in a young process, the first third of all minutes."""
    if before and before.period >= thresholds.ACCOUNT_RECENT * account.row:
        return before
    period = (now - min((row.since for row in account.rows), default=now)) / 3
    return _window([row for row in account.rows if row.until <= now - 2 * period], period)


def _window(rows: Iterable[AccountRow], period: float) -> Window:
    return Window(period, summed(row.numbers for row in rows))


def summed(numbers: Iterable[Numbers]) -> dict[Subject, Counter[Item]]:
    """Return all these numbers together, in Counters that may be changed."""
    found: dict[Subject, Counter[Item]] = {}
    for one in numbers:
        for subject, items in one.items():
            found.setdefault(subject, Counter()).update(items)
    return found

"""Windows of the process's own account that are compared with each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
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
    and must not be compared with itself. A young process has only the time since ``instrument()``.
    """
    since = now - recent * account.row
    latest = [row for row in account.rows if row.until > since]
    since = min([since, *(row.since for row in latest)])
    usual = since
    if account.before:
        # What is wrong now may have begun before the finding did.
        usual = min(since, account.before_until - thresholds.ACCOUNT_RECENT * account.row)
    hour = usual - thresholds.ACCOUNT_ROWS * account.row
    rows = account.before or account.rows
    earlier = [row for row in rows if row.until <= usual and row.until > hour]
    begin = min((row.since for row in earlier), default=usual)
    half = begin + max((usual - begin) / 2, thresholds.ACCOUNT_RECENT * account.row)
    earlier = [row for row in earlier if row.since < half]
    before = max((row.until for row in earlier), default=begin) - begin
    quiet = now - thresholds.ACCOUNT_QUIET * account.row
    last = [row for row in latest if row.until > now - account.row / 2]
    return Windows(
        _window(last, now - min((row.since for row in last), default=now)),
        _window(latest, now - max(since, 0.0)),
        _window([row for row in account.rows if row.until > quiet], now - max(quiet, 0.0)),
        _window(earlier, before) if earlier and is_baseline(before, account) else None,
    )


def is_baseline(period: float, account: Account) -> bool:
    """Return whether a period is long enough to compare with: the first minutes are not."""
    return period >= max(thresholds.ACCOUNT_RECENT * account.row, 1.0)


def _window(rows: Iterable[AccountRow], period: float) -> Window:
    return Window(period, summed(row.numbers for row in rows))


def summed(numbers: Iterable[Numbers]) -> dict[Subject, Counter[Item]]:
    """Return all these numbers together, in Counters that may be changed."""
    found: dict[Subject, Counter[Item]] = {}
    for one in numbers:
        for subject, items in one.items():
            found.setdefault(subject, Counter()).update(items)
    return found

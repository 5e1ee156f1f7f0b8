"""When each alert is to fire, and when it isn't: the tests of promtool are made from these.

Values are promtool's: ``0+6x10`` is 0, 6, 12, ... over ten steps of a minute, ``_x5`` five minutes
without an export, ``stale`` the mark that a scrape leaves when a series is no longer there.
"""

from __future__ import annotations

from typing import Final

from ..case import Case
from . import blind, calls, findings, limits, waiting

CASES: Final[tuple[Case, ...]] = (
    *findings.CASES,
    *calls.CASES,
    *waiting.CASES,
    *limits.CASES,
    *blind.CASES,
)

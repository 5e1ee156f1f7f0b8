"""Advisor for the pools of one name."""

from __future__ import annotations

from ..advice.advisor import Advisor
from ..intervals import PoolCase


def advisor(case: PoolCase) -> Advisor:
    """Return the advisor on the clients of these pools."""
    return Advisor(case.provider, case.library, case.process.gluellm, case.synchronous)

"""The advisor for the pools of one name."""

from __future__ import annotations

from ..advice.advisor import Advisor
from ..intervals import PoolCase


def advisor(case: PoolCase) -> Advisor:
    """How the clients of these pools are configured."""
    return Advisor(case.provider, case.library, case.process.gluellm, case.synchronous)

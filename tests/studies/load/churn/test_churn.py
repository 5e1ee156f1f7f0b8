"""Two thousand pools of every kind, made and dropped: nothing of them stays. ``churn`` has more."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from studies.load.churn.run import Round
from studies.load.churn.verdict import judge
from support.figures import Figures

_TESTS = Path(__file__).parents[3]
_POOLS, _ROUND, _SETTLED = 2_000, 100, 400
_PROGRAM = f"""
import json
from studies.load.churn.run import churn
from studies.load.churn.verdict import judge
from support.figures import Figures

figures = Figures("churn")
judge(figures, churn({_POOLS}, size={_ROUND}), {_SETTLED})
print(json.dumps(figures.as_json()))
"""


def _figures(program: str) -> dict[str, Any]:
    finished = subprocess.run(
        [sys.executable, "-c", program],
        cwd=_TESTS,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    told: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return told


def test_pools_leave_nothing_behind(record_property: Callable[[str, object], None]) -> None:
    """Memory, series and the time of a collection stay as they were, in a process of its own.

    Half of the pools are closed by nobody, and half belong to any-llm calls.
    """
    told = _figures(_PROGRAM)
    assert told["broken"] == []
    assert told["figures"]["pools"] == _POOLS
    record_property("pools made and dropped", _POOLS)


def test_what_stays_is_told() -> None:
    """A pool that leaves blocks behind breaks what is held."""
    program = _PROGRAM.replace(
        "figures = ",
        """
from opentelemetry.instrumentation.gluellm.pool.tracker import PoolTracker
kept, begin = [], PoolTracker.begin
def keep(*arguments):
    kept.append(begin(*arguments))
    return kept[-1]
PoolTracker.begin = keep
figures = """,
        1,
    ).replace(f"{_POOLS}, size={_ROUND}), {_SETTLED}", f"{_POOLS // 2}, size={_ROUND}), {_SETTLED}")
    told = _figures(program)
    assert any("blocks stay" in what for what in told["broken"])


def test_pools_that_are_known_for_ever_are_told() -> None:
    """By their number after a garbage collection, though nothing else grows."""

    def broken(trackers: int) -> list[str]:
        figures = Figures("churn")
        rounds = [Round(pools, 1000, 10**6, 1.0, 1.0, 5, trackers) for pools in range(1, 20)]
        judge(figures, rounds, settled=1)
        return figures.broken

    assert broken(100) == []
    assert broken(101) == ["101 pools are still known after a garbage collection"]

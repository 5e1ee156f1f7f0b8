"""Budgets are percentages of what the library's contrib instrumentation adds."""

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from studies.talking import FailedError, ran

from . import rows, sources
from .workload import FAMILIES


def test_a_budget_is_met_missed_or_not_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The yardstick adds 100; the package adds 2, and 30 with everything on."""
    variants = {"off": 1000.0, "yardstick": 1100.0, "ours": 1002.0, "direct": 1003.0}
    variants["all in"] = 1030.0
    variants |= {f"{name}, no span": count for name, count in variants.items()}

    def unavailable(family: str) -> dict[str, dict[str, float]]:
        raise FailedError("not here")

    monkeypatch.setattr(
        sources, "instruction_counts", lambda f: {str(each): variants for each in FAMILIES[f]}
    )
    monkeypatch.setattr(sources, "cpu_times", unavailable)
    blocks = list(rows.blocks(["request-path", "all-in"]))
    assert len(blocks) == 4
    for _, (path, direct, share, cpu, _, all_in, _) in blocks:
        assert (path.budget, path.measured, path.met) == ("<= 55,000", "2", True)
        assert (direct.budget, direct.measured) == ("<= 45,000", "3")
        assert (share.budget, share.measured, share.met) == ("<= 3.0 %", "2.0 %", True)
        assert (all_in.budget, all_in.measured, all_in.met) == ("<= 28.0 %", "30.0 %", False)
        assert (cpu.measured, cpu.met, cpu.detail) == ("not measured", None, "not here")


def test_modules_of_measurements_can_be_imported() -> None:
    """A failed import would only show as rows that were not measured.

    It runs in another process, because the clients replace parts of the libraries.
    """
    modules = (f"{__package__}.{path.stem}" for path in Path(__file__).parent.glob("[a-z]*.py"))
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    program = f"import {', '.join(modules)}"
    subprocess.run([sys.executable, "-c", program], env=variables, check=True, timeout=120)


def test_processes_of_a_measurement_end_at_its_timeout() -> None:
    """The pipe reports its end once no process holds the other end."""
    reading, writing = os.pipe()
    with pytest.raises(FailedError):
        ran("sh", "-c", "sleep 60 & wait", timeout=0.3, pass_fds=[writing])
    os.close(writing)
    assert select.select([reading], [], [], 10)[0]
    os.close(reading)

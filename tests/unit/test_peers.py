"""What ``make peer-suites`` makes of two runs of a suite."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from peers import comparing
from peers.comparing import Difference, Run
from peers.preparing import unpack
from peers.suites import SUITES, Suite

TESTS = Path(__file__).parents[1]

SUITE = """
import pytest

def test_passes():
    pass

def test_fails():
    raise RuntimeError("broken")

@pytest.mark.xfail
def test_is_expected_to_fail():
    raise RuntimeError("known")

@pytest.mark.skip
def test_is_skipped():
    pass

@pytest.fixture
def breaks_at_the_end():
    yield
    raise RuntimeError("left a mess")

def test_passes_until_its_end(breaks_at_the_end):
    pass
"""


def run(**outcomes: str) -> Run:
    """A complete run with these outcomes."""
    return Run(outcomes=dict(outcomes), finished=True)


@pytest.fixture
def recorded(tmp_path: Path) -> Run:
    """A real pytest's run of SUITE, as the plug-in records it."""
    (tmp_path / "test_suite.py").write_text(SUITE)
    outcomes = tmp_path / "outcomes"
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "peers.recording", "test_suite.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(TESTS), "GLUELLM_PEERS_OUTCOMES": str(outcomes)},
        check=False,
        capture_output=True,
        timeout=60,
    )
    return comparing.read(outcomes.read_text().splitlines())


def test_each_test_is_recorded_with_its_worst_phase(recorded: Run) -> None:
    """A failing tear-down fails the test; an expected failure and a skip are told as such."""
    assert {name.partition("::")[2]: how for name, how in recorded.outcomes.items()} == {
        "test_passes": "passed",
        "test_fails": "failed",
        "test_is_expected_to_fail": "xfailed",
        "test_is_skipped": "skipped",
        "test_passes_until_its_end": "failed",
    }
    assert recorded.finished
    assert recorded.passed == 2
    assert recorded.why("test_suite.py::test_fails") == "RuntimeError: broken"


def test_a_run_that_was_killed_keeps_what_had_been_run() -> None:
    """The line at which it was killed is left out."""
    found = comparing.read([json.dumps(["a", "call", "passed", ""]), '["b", "ca'])
    assert found.outcomes == {"a": "passed"}
    assert not found.finished


@pytest.mark.parametrize("on", ["failed", "xpassed", "missing"])
def test_a_test_that_passed_without_is_worse(on: str) -> None:
    """Failed, passed where it may not, or gone."""
    with_it = run(**({} if on == "missing" else {"a": on}))
    (difference,) = comparing.differences(run(a="passed"), with_it)
    assert difference == Difference("a", "passed", on)
    assert difference.worse


def test_what_failed_without_is_no_worse() -> None:
    """Neither where it passes now, nor where it fails as before."""
    found = comparing.differences(run(a="failed", b="failed"), run(a="passed", b="failed"))
    assert found == [Difference("a", "failed", "passed")]
    assert not found[0].worse


def test_what_fails_again_with_it_and_never_without_is_broken_by_it() -> None:
    """One further failure is enough."""
    suspect = Difference("a", "passed", "failed")
    judgement = comparing.judge(
        [suspect],
        off=[run(a="passed"), run(a="passed")],
        on=[run(a="passed"), run(a="failed")],
    )
    assert judgement.worse == (suspect,)
    assert not judgement.flaky


@pytest.mark.parametrize(("off", "on"), [("passed", "passed"), ("failed", "failed")])
def test_what_fails_without_it_too_or_not_again_is_flaky(off: str, on: str) -> None:
    """It is named, and breaks nothing."""
    suspect = Difference("a", "passed", "failed")
    judgement = comparing.judge([suspect], off=[run(a=off)], on=[run(a=on)])
    assert judgement.flaky == (suspect,)
    assert not judgement.worse


@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
def test_the_wheel_is_what_a_suite_tests(suite: Suite, tmp_path: Path) -> None:
    """The library's own folder is left in the archive, or it would be imported instead."""
    inside = tmp_path / "made" / "library-1.0"
    for name in (f"{suite.package}/__init__.py", f"{suite.tests}/test_one.py"):
        (inside / name).parent.mkdir(parents=True, exist_ok=True)
        (inside / name).write_text("")
    archive = tmp_path / "library-1.0.tar.gz"
    with tarfile.open(archive, "w:gz") as writing:
        writing.add(inside, "library-1.0")
    folder = tmp_path / "library-1.0"
    unpack(archive, folder, suite.package)
    assert (folder / suite.tests / "test_one.py").exists()
    assert not (folder / suite.package).exists()

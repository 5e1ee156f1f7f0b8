"""``make trust`` tells what its parts counted, and keeps nothing back that did not hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.figures import Figures
from trust.page import page
from trust.parts import PARTS, Part
from trust.running import of_tests, run

JUNIT = """<?xml version="1.0"?>
<testsuites><testsuite>
<testcase classname="a" name="one"><properties>
 <property name="requests" value="3"/><property name="largest deviation in ms" value="1.5"/>
</properties></testcase>
<testcase classname="a" name="two"><properties>
 <property name="requests" value="4"/><property name="largest deviation in ms" value="0.5"/>
</properties></testcase>
<testcase classname="a" name="three"><skipped message="no such library"/></testcase>
<testcase classname="a" name="four"><failure message="no"/></testcase>
</testsuite></testsuites>
"""


def test_what_tests_record_is_summed_up_or_the_largest(tmp_path: Path) -> None:
    """And a failed test is told by its name."""
    file = tmp_path / "junit.xml"
    file.write_text(JUNIT)
    figures = of_tests(file)
    assert figures.values == {
        "tests passed": 2,
        "failed": 1,
        "skipped": 1,
        "requests": 7,
        "largest deviation in ms": 1.5,
    }
    assert figures.broken == ["a::four"]


def test_part_that_can_not_be_run_did_not_hold(tmp_path: Path) -> None:
    """A module that isn't there leaves no figures, which is told."""
    figures = run(Part("none", "Nothing", 1, program=("no_such_module",)), tmp_path)
    assert not figures.held
    assert "no figures" in figures.broken[0]
    assert "no_such_module" in (tmp_path / "none.log").read_text()


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_parts_are_there(part: Part) -> None:
    """Each module and each folder that is named."""
    tests = Path(__file__).parents[1]
    for program in part.program[:1]:
        assert (tests / program / "__main__.py").is_file()
    for path in part.tests:
        assert (tests.parent / path).exists()


def test_page_tells_what_did_not_hold() -> None:
    """Beside the figures of the part."""
    figures = Figures("Soak", {"requests": 12, "growth in MB": 0.123}, ["memory grew"])
    text = page([figures.as_json() | {"seconds": 60, "commit": "abc1234"}])
    assert "| requests | 12 |" in text
    assert "| growth in MB | 0.123 |" in text
    assert "**Did not hold:** memory grew" in text


def test_figures_survive_their_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Printed for people, kept as JSON, with an exit status that says whether all held."""
    figures = Figures("Churn", {"pools": 100})
    file = tmp_path / "figures.json"
    assert figures.finish(file) == 0
    assert "pools: 100" in capsys.readouterr().out
    figures.broken.append("one")
    assert figures.finish() == 1
    assert Figures.from_json(figures.as_json()) == figures

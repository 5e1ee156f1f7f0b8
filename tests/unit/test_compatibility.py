"""The tables of docs/compatibility.md come from what ran, all of it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "studies" / "compat"
TABLE = "<!-- {0}: -->\nold\n<!-- /{0} -->\n"
PAGE = "".join(TABLE.format(mark) for mark in ("pythons", "versions", "matrix"))


@pytest.fixture
def compat() -> Iterator[tuple[ModuleType, ModuleType]]:
    """The modules of the matrix, which run where nothing but nox is installed."""
    sys.path.insert(0, str(FOLDER))
    try:
        yield importlib.import_module("environments"), importlib.import_module("page")
    finally:
        sys.path.remove(str(FOLDER))
        for name in ("environments", "page"):
            sys.modules.pop(name, None)


def record(name: str, python: str = "3.13.0", **versions: str) -> dict[str, Any]:
    """What an environment leaves."""
    return {
        "name": name,
        "python": python,
        "passed": 7,
        "skipped": 1,
        "failed": [],
        "versions": versions,
    }


def test_every_environment_is_in_the_page(compat: tuple[ModuleType, ModuleType]) -> None:
    """In the order of the matrix, one that did not run on a Python told as such."""
    environments, page = compat
    records = [record(name) for name in environments.ENVIRONMENTS]
    records += [record("suite", httpx="0.28.1"), record("newest", "3.11.7", httpx="0.28.0")]
    records += [record("lowest", "3.11.7", httpx="0.27.0") | {"failed": ["a::b"]}]
    text = page.filled(PAGE, records)
    assert "old" not in text
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == list(environments.ENVIRONMENTS)
    (lowest,) = [row for row in rows if row.startswith("| `lowest` ")]
    assert "**1 failed**" in lowest
    assert "not run" in next(row for row in rows if row.startswith("| `both` "))
    assert "| httpx | 0.27.0 | 0.28.1 |" in text
    assert "| 3.11.7 | not run | 2, 1 failed |" in text


def test_page_is_not_written_from_half_a_run(compat: tuple[ModuleType, ModuleType]) -> None:
    """What is missing is named, with the command that runs it."""
    _, page = compat
    with pytest.raises(
        page.IncompleteError, match=r"Not run yet: .*openai-2.*make -C tests/studies matrix"
    ):
        page.filled(PAGE, [record("suite")])


def test_each_lowest_version_is_what_the_project_allows(
    compat: tuple[ModuleType, ModuleType],
) -> None:
    """Each dependency with a floor is in an environment at that floor, or at one said to differ."""
    environments, _ = compat
    pinned = {
        requirement.partition(";")[0].strip()
        for environment in environments.ENVIRONMENTS.values()
        for requirement in (*environment.requirements, *environment.constraints)
    }
    differs = {"grpcio": "1.72.1", "urllib3": "1.26.0"}
    floors = environments.floors("instruments-any", "cli", "demo", "http")
    assert len(floors) > 15
    for name, version in floors.items():
        assert f"{name}=={differs.get(name, version)}" in pinned

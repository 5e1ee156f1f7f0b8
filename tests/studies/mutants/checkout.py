"""A clone of one commit, with its own environment, in which its tests run."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .mutant import SOURCE, Mutant

Result = tuple[int, str]
"""Number of tests that cover the changed lines; the first that failed, empty if none did."""
_WORKERS = "4"
_BOUND = 1200
"""Timeout in seconds for the tests of one mutant. A mutant whose tests hang counts as detected."""

_RESULTS = ".cache/results.json"

# `context` names the test in processes that a test starts; pytest-cov names it in its own process.
_COVERAGE = """\
[run]
source = {source}
patch = subprocess
parallel = true
context = ${{PYTEST_CURRENT_TEST-}}
data_file = {data}
"""
_FAILED = re.compile(r"^(?:FAILED|ERROR) (tests/.+?)(?: - .*)?$", re.MULTILINE)


@dataclass(slots=True)
class Checkout:
    """The clone, which tests cover which lines, and how long each test takes."""

    commit: str
    root: Path
    tests: list[str]
    covering: dict[str, dict[str, list[int]]]
    """Source file -> line -> positions in ``tests`` of those that execute it."""
    seconds: dict[str, float]
    """Test -> its duration."""
    flaky: set[str] = field(default_factory=set)
    """Tests that failed on the unchanged source."""

    @classmethod
    def of(cls, repository: Path, commit: str) -> Checkout:
        """Clone, install and map, unless an earlier run did."""
        root = (repository / ".cache/mutants" / commit).resolve()
        if not root.exists():
            subprocess.run(["git", "clone", "--quiet", repository, root], check=True)
            subprocess.run(["git", "checkout", "--quiet", commit], cwd=root, check=True)
        subprocess.run(["git", "checkout", "--quiet", "."], cwd=root, check=True)
        if not (root / ".venv/.installed-test").exists():
            make = ["make", ".venv/.installed-test", f"PYTHON={sys.executable}"]
            subprocess.run(make, cwd=root, check=True)
            pip = [root / ".venv/bin/python", "-m", "pip", "install", "--quiet", "pytest-cov>=7"]
            subprocess.run(pip, check=True)
        mapped = root / ".cache/covering.json"
        if not mapped.exists():
            mapped.parent.mkdir(exist_ok=True)
            mapped.write_text(json.dumps(_map(root)))
        return cls(commit, root, **json.loads(mapped.read_text()))

    def result(self, mutant: Mutant, *, again: bool) -> Result:
        """Return the kept result of the mutant, or try it if there is none or with ``again``."""
        kept = self.root / _RESULTS
        results = json.loads(kept.read_text()) if kept.exists() else {}
        if again or mutant.name not in results:
            results[mutant.name] = self.try_out(mutant)
            kept.write_text(json.dumps(results, indent=1))
        covering, test = results[mutant.name]
        return covering, test

    def try_out(self, mutant: Mutant) -> Result:
        """Run the tests that cover the changed lines until one fails.

        The test that detected it last comes first, also if coverage does not reach its processes.
        Lines that run at import, or in a process that is killed, belong to no test: run those that
        cover any line of the file.
        """
        lines = self.covering.get(str(mutant.path), {})
        found = {each for number in mutant.lines(self.root) for each in lines.get(str(number), ())}
        found = found or {each for tests in lines.values() for each in tests}
        tests = {self.tests[each] for each in found}
        known = {mutant.detected_by} - {""}
        detecting = self._detecting(mutant, known) or self._detecting(mutant, tests - known)
        return len(tests), detecting

    def _detecting(self, mutant: Mutant, tests: set[str]) -> str:
        """Run the tests, fastest first, until the mutant makes one fail.

        Return its name, or an empty string if none fails.
        """
        while chosen := sorted(tests - self.flaky, key=lambda test: self.seconds.get(test, 1)):
            with mutant.applied(self.root):
                failed = self._failed(chosen)
            if failed is None:
                return "(the tests hung)"
            flaky = self._failed(failed) if failed else []
            if true := [test for test in failed if test not in (flaky or [])]:
                return true[0]
            if not failed:
                break
            self.flaky.update(failed)
        return ""

    def _failed(self, tests: list[str]) -> list[str] | None:
        """Run the tests until one fails. Return the failed tests, or None after a timeout."""
        listed = self.root / ".cache/tests.txt"
        listed.write_text("".join(f"{test}\n" for test in tests))
        workers = ["-n", _WORKERS, "--dist", "load"] if len(tests) > 50 else []
        command = "-m pytest -q -x -rfE --tb=no -p no:cacheprovider".split() + workers
        try:
            done = _python(self.root, *command, f"@{listed}", timeout=_BOUND)
        except subprocess.TimeoutExpired:
            return None
        failed = [name for name in _FAILED.findall(done.stdout) if name in tests]
        if done.returncode not in (0, 1, 2) or (done.returncode and not failed):
            raise RuntimeError(f"pytest ended with {done.returncode}:\n{done.stdout[-3000:]}")
        return failed


def _map(root: Path) -> dict[str, Any]:
    """Run all tests under coverage. Return the lines that each test executes and its duration."""
    print(f"Running all tests of {root.name} once, to map lines to tests: about 30 minutes.")
    folder = root / ".cache/coverage"
    folder.mkdir(parents=True, exist_ok=True)
    config, data, junit = folder / "coveragerc", folder / "data", folder / "junit.xml"
    config.write_text(_COVERAGE.format(source=root / SOURCE, data=data))
    _python(
        root,
        *f"-m pytest -q -n {_WORKERS} --dist loadfile --tb=no -o junit_family=xunit1".split(),
        *f"--cov --cov-config={config} --cov-context=test --cov-report=".split(),
        *(f"--junitxml={junit}", "-m", "not all_sdks"),
        show=True,
    )
    _python(root, "-m", "coverage", "combine", "--append", f"--rcfile={config}", str(folder))
    positions: dict[str, int] = {}
    covering: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    rows = sqlite3.connect(data).execute(
        "select path, context, numbits from line_bits"
        " join file on file.id = file_id join context on context.id = context_id"
    )
    for path, context, numbits in rows:
        # "tests/test_x.py::test_it[a]|run" or, from another process, "... (call)"
        test = re.sub(r"(\|\w+| \(\w+\))$", "", context)
        if test:
            lines = covering[str(Path(path).relative_to(root))]
            for number in range(8 * len(numbits)):
                if numbits[number // 8] >> number % 8 & 1:
                    lines[str(number)].add(positions.setdefault(test, len(positions)))
    seconds = {
        f"{case.get('file')}::{case.get('name')}": float(case.get("time") or 0)
        for case in ET.parse(junit).iter("testcase")
    }
    return {
        "tests": list(positions),
        "covering": {
            file: {number: sorted(tests) for number, tests in lines.items()}
            for file, lines in covering.items()
        },
        "seconds": seconds,
    }


def _python(
    root: Path, *arguments: str, timeout: float | None = None, show: bool = False
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [root / ".venv/bin/python", *arguments],
        cwd=root,
        stdout=None if show else subprocess.PIPE,
        stderr=None if show else subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )

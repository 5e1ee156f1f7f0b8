"""Runs one part, and reads its figures."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Final

from support.figures import Figure, Figures

from .parts import Part

ROOT: Final = Path(__file__).parents[2]
MATRIX: Final = ROOT / ".cache" / "compat"
"""Where its environments leave their records."""
_SLACK = 4
"""By how much longer than usual a part may take before it is ended."""


def run(part: Part, folder: Path) -> Figures:
    """One part, its output in a file of the folder. What can't be run is told as not held."""
    kept = folder / (f"{part.name}.json" if part.program else f"{part.name}.xml")
    kept.unlink(missing_ok=True)
    if not part.program and not part.tests:
        for record in MATRIX.glob("*.json"):
            if not record.name.startswith("suite-"):
                record.unlink()
    log = folder / f"{part.name}.log"
    told = f"{folder.name}/{log.name}"  # in a page that is committed
    with log.open("wb") as writing:
        try:
            done = subprocess.run(
                _command(part, kept),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=subprocess.STDOUT,
                timeout=part.minutes * 60 * _SLACK,
                check=False,
            )
            status = done.returncode
        except subprocess.TimeoutExpired:
            return Figures(part.title, broken=[f"did not end; see {told}"])
    try:
        figures = _figures(part, kept)
    except (OSError, ValueError, ET.ParseError) as error:
        return Figures(part.title, broken=[f"status {status}, no figures ({error}); see {told}"])
    figures.title = part.title
    if status and figures.held:
        figures.broken.append(f"status {status}; see {told}")
    return figures


def _command(part: Part, kept: Path) -> list[str]:
    python = [sys.executable, "-m"]
    if part.program:
        return [*python, *part.program, "--figures", str(kept)]
    if part.tests:
        return [
            *python,
            "pytest",
            "-q",
            f"--junitxml={kept}",
            "-p",
            "no:cacheprovider",
            *part.tests,
        ]
    return ["make", "matrix"]


def _figures(part: Part, kept: Path) -> Figures:
    if part.program:
        return Figures.from_json(json.loads(kept.read_text()))
    if part.tests:
        return of_tests(kept)
    return _of_matrix(MATRIX)


def of_tests(junit: Path) -> Figures:
    """Tests by outcome, and what they recorded: summed up, or the largest where it is called so."""
    figures = Figures("")
    passed = skipped = 0
    recorded: dict[str, Figure] = {}
    for case in ET.parse(junit).getroot().iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            figures.broken.append(f"{case.get('classname')}::{case.get('name')}")
        elif case.find("skipped") is not None:
            skipped += 1
        else:
            passed += 1
        for each in case.iter("property"):
            name, number = each.get("name", ""), _number(each.get("value", ""))
            known = recorded.get(name, 0)
            assert not isinstance(known, str)
            recorded[name] = max(known, number) if name.startswith("largest") else known + number
    figures.values = {
        "tests passed": passed,
        "failed": len(figures.broken),
        "skipped": skipped,
        **recorded,
    }
    return figures


def _number(text: str) -> int | float:
    return float(text) if "." in text or "e" in text else int(text)


def _of_matrix(folder: Path) -> Figures:
    records = [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]
    records = [record for record in records if record["name"] != "suite"]  # CI's, not of this run
    figures = Figures("")
    figures.values = {
        "environments": len({record["name"] for record in records}),
        "Pythons": ", ".join(sorted({record["python"] for record in records})),
        "environments run, over the Pythons": len(records),
        "tests passed": sum(record["passed"] for record in records),
    }
    for record in records:
        for test in record["failed"]:
            figures.broken.append(f"{record['name']}, Python {record['python']}: {test}")
    return figures

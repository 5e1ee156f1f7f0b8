"""Notes what is installed and what came of the tests, as JSON below a folder.

``python tests/studies/compat/record.py NAME JUNIT FOLDER [--canary]``, by the interpreter of the
environment that was tested. Only the standard library.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import xml.etree.ElementTree as ET
from importlib.metadata import distributions
from pathlib import Path


def main() -> None:
    """Read, write, and tell in a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("junit", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--canary", action="store_true", help="tell each failure and pre-release")
    options = parser.parse_args()
    python = platform.python_version()
    minor = ".".join(python.split(".")[:2])
    cases = ET.parse(options.junit).getroot().findall("./testsuite/testcase")
    by = {kind: [c for c in cases if c.find(kind) is not None] for kind in ("failure", "error")}
    failed = [_named(case) for kind in by.values() for case in kind]
    skipped = sum(case.find("skipped") is not None for case in cases)
    record = {
        "name": options.name,
        "python": python,
        "passed": len(cases) - skipped - len(failed),
        "skipped": skipped,
        "failed": failed,
        "versions": dict(
            sorted((_canonical(each.name), each.version) for each in distributions() if each.name)
        ),
    }
    options.folder.mkdir(parents=True, exist_ok=True)
    (options.folder / f"{options.name}-{minor}.json").write_text(json.dumps(record, indent=1))
    told = f"{options.name}, Python {python}: {record['passed']} passed, {len(failed)} failed"
    print(f"{told}, {skipped} skipped")
    if options.canary:
        _tell(record["versions"], failed)


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _named(case: ET.Element) -> str:
    return f"{case.get('classname')}::{case.get('name')}"


def _tell(versions: dict[str, str], failed: list[str]) -> None:
    watched = ("httpx2", "httpcore2", "openai", "anthropic", "any-llm-sdk", "opentelemetry-sdk")
    told = [f"{name} {versions[name]}" for name in watched if name in versions]
    print(f"  canary with {', '.join(told)}")
    # OpenTelemetry's contrib packages have only had betas.
    early = [
        f"{name} {version}"
        for name, version in versions.items()
        if re.search(r"(a|b|rc|\.dev)\d", version) and not name.startswith("opentelemetry-")
    ]
    print(f"  pre-releases among what is installed: {', '.join(early) or 'none'}")
    for each in failed:
        print(f"  FAILED with what is to come: {each}")


if __name__ == "__main__":
    main()

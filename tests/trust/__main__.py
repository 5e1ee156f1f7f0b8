"""``make trust``: the long form of every test behind docs/guarantees.md, and docs/trust.md of it.

Exits 1 when something did not hold. The soak runs beside the other parts.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support.figures import Figures

from .page import page
from .parts import PARTS, Part
from .running import ROOT, run

PAGE = ROOT / "docs" / "trust.md"
_BESIDE = "soak"
"""It waits most of its time, and is no judge of anybody's speed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts that were asked for, and write the page when all of them ran."""
    names = [part.name for part in PARTS]
    parser = argparse.ArgumentParser(prog="trust", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(names)}; or all")
    parser.add_argument("--folder", type=Path, default=ROOT / ".cache" / "trust")
    parser.add_argument(
        "--page", action="store_true", help="run nothing: write the page of what the folder has"
    )
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.parts) - set(names))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known are {', '.join(names)}")
    options.folder.mkdir(parents=True, exist_ok=True)
    if not options.page:
        _run([p for p in PARTS if not options.parts or p.name in options.parts], options.folder)
    return _tell(options.folder)


def _run(parts: Sequence[Part], folder: Path) -> None:
    with ThreadPoolExecutor(1) as beside:
        waiting = [beside.submit(_one, part, folder) for part in parts if part.name == _BESIDE]
        for part in parts:
            if part.name != _BESIDE:
                _one(part, folder)
        for each in waiting:
            each.result()


def _one(part: Part, folder: Path) -> None:
    print(f"--- {part.name}: about {part.minutes:g} min", flush=True)
    began = time.monotonic()
    figures = run(part, folder)
    took = time.monotonic() - began
    kept = figures.as_json() | {"seconds": round(took), "commit": _commit()}
    (folder / f"{part.name}.figures.json").write_text(json.dumps(kept, indent=1))
    figures.finish()
    print(
        f"--- {part.name}: {'held' if figures.held else 'DID NOT HOLD'}, {took:.0f} s", flush=True
    )


def _tell(folder: Path) -> int:
    found = {}
    for part in PARTS:
        file = folder / f"{part.name}.figures.json"
        if file.exists():
            found[part.name] = json.loads(file.read_text())
    missing = [part.name for part in PARTS if part.name not in found]
    if missing:
        print(f"{PAGE.name} is not written: not run yet: {', '.join(missing)}")
    else:
        PAGE.write_text(page([found[part.name] for part in PARTS]))
        print(f"wrote {PAGE.relative_to(ROOT)}")
    return int(not all(Figures.from_json(each).held for each in found.values()))


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())

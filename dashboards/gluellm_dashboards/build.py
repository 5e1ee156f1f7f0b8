"""Writes the generated files of ``dashboards/``.

``--check`` writes nothing and fails if a file is out of date, missing, or has no source.
``--base URL`` sets where the repository's files can be read, for links to runbooks and guides.
Without it, alerts and boards have no such links.
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from . import boards, config, elsewhere, essential, kubernetes, rules
from .naming import UnknownNameError

ROOT: Final = Path(__file__).parents[1]
PARTS: Final = (boards, rules, kubernetes, elsewhere, essential)
"""Modules with ``files()``, by path below `ROOT`, and ``FOLDERS``, which contain nothing else:
folders with all their contents, or patterns."""
_MOST_LINES: Final = 20
_ADDRESS: Final = re.compile(
    r"https?://[\w.\-\[\]:]*\w[\w.\-\[\]:]*(?:/[\w.~%!*()+,;:@&=/\-]*)?", re.ASCII
)
"""Characters of an address that are safe in YAML, JSON and templates."""


def generated(base: str | None = None) -> dict[Path, str]:
    """Return the text of every generated file, by its path below `ROOT`. Raises UnknownNameError.

    ``base`` replaces the configured base of links.
    """
    configured = config.BASE
    config.BASE = (configured if base is None else base).rstrip("/")
    try:
        return {Path(path): text for part in PARTS for path, text in part.files().items()}
    finally:
        config.BASE = configured


def differences(files: Mapping[Path, str], root: Path = ROOT) -> list[str]:
    """Describe the files that differ on disk; empty if none does."""
    found = []
    for path, text in files.items():
        there = (root / path).read_text() if (root / path).exists() else ""
        if there != text:
            lines = difflib.unified_diff(
                there.splitlines(),
                text.splitlines(),
                str(path),
                f"{path}, from the source",
                "",
                "",
                1,
            )
            found.append("\n".join(list(lines)[:_MOST_LINES]))
    return [*found, *(f"{path} has no source: remove it" for path in _strays(files, root))]


def _strays(files: Mapping[Path, str], root: Path) -> list[Path]:
    there = {
        file.relative_to(root)
        for part in PARTS
        for folder in part.FOLDERS
        for file in root.glob(folder if "*" in folder else f"{folder}/**/*")
        if file.is_file()
    }
    return sorted(there - set(files))


def write(files: Mapping[Path, str], root: Path = ROOT) -> None:
    """Write the files, and remove those without a source."""
    for path in _strays(files, root):
        (root / path).unlink()
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def _address(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no address that a file's name can follow; one is "
            "https://git.example.com/gluellm/blob/main"
        )
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if done, 1 if ``--check`` found a difference, 2 if a source has an unknown name."""
    parser = argparse.ArgumentParser(
        prog="gluellm_dashboards.build",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    parser.add_argument(
        "--base", metavar="URL", type=_address, help="where the repository's files can be read"
    )
    options = parser.parse_args(arguments)
    try:
        files = generated(options.base)
    except UnknownNameError as error:
        print(f"make dashboards: {error}", file=sys.stderr)
        return 2
    if not options.check:
        write(files)
        print(f"{len(files)} files written below {ROOT.name}/")
        return 0
    found = differences(files)
    for one in found:
        print(one, file=sys.stderr)
    if found:
        print("Not what the source says: run `make dashboards`.", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

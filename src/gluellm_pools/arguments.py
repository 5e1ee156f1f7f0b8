"""What all commands share: kinds of arguments, error messages, and where a report is written."""

from __future__ import annotations

import argparse
import difflib
import importlib.util
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from .text import duration, printable_lines

EXIT_USAGE = 2
_DISTRIBUTION = "opentelemetry-instrumentation-gluellm"


def refuse(command: str, message: object, status: int = EXIT_USAGE) -> int:
    """Print an error message and return the exit status."""
    print(f"{command}: {printable_lines(message)}", file=sys.stderr)
    return status


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return a question with the nearest known word; empty if none is near."""
    nearest = difflib.get_close_matches(word.partition("=")[0], list(known), n=1)
    return f" (did you mean {nearest[0]}?)" if nearest else ""


def missing_message(modules: Iterable[str], extra: str) -> str | None:
    """Return what is not installed and how to install it; None if every module is installed."""
    missing = ", ".join(name for name in modules if not installed(name))
    if not missing:
        return None
    return f"not installed: {missing}.\n{install_hint(extra)}"


def install_hint(extra: str) -> str:
    return f"Install it with: pip install '{_DISTRIBUTION}[{extra}]'"


def installed(module: str) -> bool:
    """Return whether a module can be imported, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package above it is missing
        return False


def add_command(
    commands: argparse._SubParsersAction[Any],
    name: str,
    run: Callable[[argparse.Namespace], int],
    **texts: Any,
) -> argparse.ArgumentParser:
    """Add a command, which ``run`` runs, with its texts for ``--help``."""
    layout = argparse.RawDescriptionHelpFormatter
    parser: argparse.ArgumentParser = commands.add_parser(name, formatter_class=layout, **texts)
    parser.set_defaults(run=run)
    return parser


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--json`` and ``--output``, for commands that print a report."""
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "-o", "--output", type=_writable, metavar="FILE", help="write the report to this file"
    )


def _writable(name: str) -> Path:
    try:
        Path(name).open("a").close()  # fails now instead of at the end of a long run
    except OSError as error:
        raise argparse.ArgumentTypeError(f"can't write {name!r}: {error.strerror}") from None
    return Path(name)


def write_output(text: str, path: Path | None = None) -> None:
    """Write text to a file, or else to standard output. Raises OSError."""
    if path is None:
        print(text, flush=True)
        return
    try:
        path.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise OSError(f"can't write {path}: {error.strerror}") from None


def time_span(shortest: str, longest: str) -> Callable[[str], float]:
    """Return a type of argument: seconds, or a duration such as ``5m``, within these bounds."""
    least, most = (duration(bound) or 0.0 for bound in (shortest, longest))

    def parse(text: str) -> float:
        value = duration(text) or 0.0
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a time from {shortest} to {longest}, such as 90, 30m or 2h"
            )
        return value

    return parse


def port(text: str) -> int:
    """Parse an argument: a port, or 0 for any free one."""
    value = int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else -1
    if not 0 <= value <= 65_535:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a port from 1 to 65535, or 0 for any free one"
        )
    return value

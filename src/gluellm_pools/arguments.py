"""What all commands share: kinds of arguments, error messages, and where a report is written."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import math
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

EXIT_USAGE = 2
_DISTRIBUTION = "opentelemetry-instrumentation-gluellm"


def refuse(command: str, message: str, status: int = EXIT_USAGE) -> int:
    """Print an error message and return the exit status."""
    print(f"{command}: {message}", file=sys.stderr)
    return status


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


def write_output(command: str, text: str, path: Path | None = None) -> bool:
    """Write text to a file, or else to standard output.

    Returns False, after an error message, if it can't be written. Characters that the encoding of
    standard output lacks are written as escapes. Raises BrokenPipeError.
    """
    try:
        if path is not None:
            path.write_text(f"{text}\n", encoding="utf-8")
        else:
            _print(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        if path is None:
            # Otherwise the interpreter writes the buffer at exit, and fails again.
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        where = "the output" if path is None else str(path)
        refuse(command, f"can't write {where}: {error.strerror or error}")
        return False
    return True


def _print(text: str) -> None:
    try:
        print(text, flush=True)
    except UnicodeEncodeError as error:
        print(text.encode(error.encoding, "backslashreplace").decode(error.encoding), flush=True)


def seconds(longest: float, shortest: float = 0.0) -> Callable[[str], float]:
    """Return a type of argument: seconds, above 0 and within these bounds."""
    bounds = f"from {shortest:.15g} to" if shortest > 0 else "above 0, at most"
    allowed = f"a number of seconds {bounds} {longest:.15g}"

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (value > 0 and shortest <= value <= longest):
            raise argparse.ArgumentTypeError(f"{text!r} is not {allowed}")
        return value

    return parse


def port(highest: int = 65_535) -> Callable[[str], int]:
    """Return a type of argument: a port, or 0 for any free one."""

    def parse(text: str) -> int:
        value = int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else -1
        if not 0 <= value <= highest:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a port from 1 to {highest}, or 0 for any free one"
            )
        return value

    return parse

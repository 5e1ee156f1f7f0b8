"""What all commands share: kinds of arguments, errors, and where a report is written."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from .text import duration

EXIT_USAGE, EXIT_INTERRUPTED = 2, 130
END_SIGNALS = {signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}


class CommandError(Exception):
    """The command can't do what was asked. The message gives the reason and what to do."""

    def __init__(self, message: str, status: int = EXIT_USAGE) -> None:
        super().__init__(message)
        self.status = status


@contextlib.contextmanager
def handled(numbers: Iterable[int], handler: Callable[[int, object], None]) -> Iterator[None]:
    """Handle these signals within the block, and restore their handlers at its end."""
    previous = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return a question with the nearest known word; empty if none is near."""
    nearest = difflib.get_close_matches(word.partition("=")[0], list(known), n=1)
    return f" (did you mean {nearest[0]}?)" if nearest else ""


def help_texts(text: str | None) -> dict[str, Any]:
    """Return a parser's texts: the first paragraph is above the list of its arguments."""
    above, _, below = (text or "").partition("\n\n")
    layout = argparse.RawDescriptionHelpFormatter
    return {"description": above, "epilog": below, "formatter_class": layout}


def add_command(
    commands: argparse._SubParsersAction[Any],
    name: str,
    run: Callable[[argparse.Namespace], int],
    text: str | None,
    extra: str = "",
    **texts: Any,
) -> argparse.ArgumentParser:
    """Add a command, which ``run`` runs, with the extra that it needs and its text for ``--help``.

    ``run`` may raise CommandError, OSError and, with an extra, ImportError.
    """
    parser: argparse.ArgumentParser = commands.add_parser(name, **help_texts(text), **texts)
    parser.set_defaults(run=run, extra=extra)
    return parser


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--json`` and ``--output``, for commands that print a report."""
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "-o", "--output", type=writable, metavar="FILE", help="write the report to this file"
    )


def writable(name: str) -> Path:
    """Type of argument: a file that can be written."""
    path = Path(name)
    try:
        exists = path.exists()
        path.open("a").close()  # fails now instead of at the end of a long run
        if not exists:
            path.unlink()  # an empty file would look like a result
    except OSError as error:
        raise argparse.ArgumentTypeError(f"can't write {name!r}: {error.strerror}") from None
    return path


def write_output(text: str, path: Path | None = None) -> None:
    """Write text to a file, or else to standard output. Raises OSError."""
    if path is None:
        print(text, flush=True)
    else:
        path.write_text(f"{text}\n", encoding="utf-8")


def time_span(shortest: str, longest: str) -> Callable[[str], float]:
    """Return a type of argument: seconds, or a duration such as ``5m``, within these bounds."""
    least, most = (duration(bound) or 0.0 for bound in (shortest, longest))

    def parse(text: str) -> float:
        value = duration(text) or 0.0
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a time from {shortest} to {longest}")
        return value

    return parse


def number_between(least: int, most: int, what: str) -> Callable[[str], int]:
    """Return a type of argument: a number within these bounds, which the message calls ``what``."""

    def parse(text: str) -> int:
        # Longer ones take int() a long time.
        known = text.isascii() and text.isdecimal() and len(text) <= len(str(most))
        if not known or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
        return int(text)

    return parse

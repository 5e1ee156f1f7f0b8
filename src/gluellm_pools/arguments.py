"""What the commands have in common: kinds of arguments, and refusing what can't be done."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import math
import os
import sys
from collections.abc import Callable

EXIT_USAGE = 2


def refuse(command: str, message: str, status: int = EXIT_USAGE) -> int:
    """Say why it can't be done; the exit status to end with."""
    print(f"{command}: {message}", file=sys.stderr)
    return status


def written(command: str, text: str) -> bool:
    """Print it; False where that can't be done, which is said. Raises BrokenPipeError.

    What the output's encoding does not have is written as an escape.
    """
    try:
        try:
            print(text, flush=True)
        except UnicodeEncodeError as lacking:
            known = text.encode(lacking.encoding, "backslashreplace").decode(lacking.encoding)
            print(known, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        # Or the interpreter would write it at its end, and fail again.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        refuse(command, f"can't write the output: {error.strerror or error}")
        return False
    return True


def installed(module: str) -> bool:
    """Whether it can be imported; the module itself is not."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package above it is missing
        return False


def seconds(longest: float, shortest: float = 0.0) -> Callable[[str], float]:
    """A kind of argument: above 0, and within these bounds."""
    allowed = f"at most {longest:g}" if shortest <= 0 else f"from {shortest:g} to {longest:g}"
    separator = ", " if shortest <= 0 else " "

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (value > 0 and shortest <= value <= longest):
            raise argparse.ArgumentTypeError(
                f"found {text!r}, allowed is a number of seconds{separator}{allowed}"
            )
        return value

    return parse


def port(highest: int = 65_535) -> Callable[[str], int]:
    """A kind of argument: up to this one, or 0 for any free one."""

    def parse(text: str) -> int:
        value = int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else -1
        if not 0 <= value <= highest:
            raise argparse.ArgumentTypeError(
                f"found {text!r}, allowed is a port from 1 to {highest}, or 0 for any free one"
            )
        return value

    return parse

"""The arguments of ``doctor``, and which of its two ways they ask for."""

from __future__ import annotations

import argparse
import math
from typing import Any

from .refusal import refuse

_PATIENCE = 10.0
_LONGEST_PATIENCE = 3600.0

_DESCRIPTION = """\
Tells what is wrong with the connection pools under a program's LLM calls, and what to do about it.

  gluellm-pools doctor -- python app.py     runs a program, and tells at its end and on Ctrl-C
  gluellm-pools doctor --pid 4242           asks a running one, which was started with
                                            snapshot_signal="SIGUSR2" or with
                                            OTEL_PYTHON_GLUELLM_SNAPSHOT_SIGNAL=SIGUSR2
"""
_EPILOG = """\
exit status:
  with --pid: 0 nothing to worry about, 1 warnings or errors were found (a process that does not
  answer is one), 2 it could not be asked.
  with a program: the program's own, 128+n when signal n ended it; 126 it can't be run,
  127 there is no such program, 2 wrong arguments.
"""


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``doctor`` to the commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "doctor",
        help="what is wrong with the pools of a program, and what to do",
        usage="gluellm-pools doctor [-h] (-- PROGRAM [ARGUMENT ...] | --pid N [--json])",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--pid", type=_pid, metavar="N", help="ask this running process")
    parser.add_argument("--json", action="store_true", help="with --pid: print JSON")
    parser.add_argument(
        "--timeout",
        type=_timeout,
        metavar="SECONDS",
        help=f"with --pid: wait this long for the answer (default: {_PATIENCE:g})",
    )
    parser.add_argument("program", nargs=argparse.REMAINDER, help="the program and its arguments")
    parser.set_defaults(run=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    program = options.program
    if program[:1] == ["--"]:  # some versions of argparse leave it there
        program = program[1:]
    if options.pid is None:
        if options.json or options.timeout is not None:
            return refuse("--json and --timeout go with --pid")
        if not program:
            return refuse("name a program to run, as in: doctor -- python app.py, or give --pid N")
        from .launch import launch

        return launch(program)
    if program:
        return refuse(f"either --pid or a program, not both; found {program[0]!r} beside --pid")
    from .attach import attach

    return attach(options.pid, options.timeout or _PATIENCE, as_json=options.json)


def _pid(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) < 2**31:
        raise argparse.ArgumentTypeError(f"found {text!r}, allowed is the number of a process")
    return int(text)


def _timeout(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= _LONGEST_PATIENCE:
        raise argparse.ArgumentTypeError(
            f"found {text!r}, allowed is a number of seconds, at most {_LONGEST_PATIENCE:g}"
        )
    return value

"""Show the connection pools of LLM calls: which calls wait, why, and what to do.

examples:
  gluellm-pools demo
  gluellm-pools watch
  gluellm-pools doctor --pid 4242
  gluellm-pools doctor -- python app.py
  gluellm-pools verify --prometheus http://localhost:9090

exit status: 0 on success and for help, 1 if a command found something wrong,
2 for wrong arguments or if a command can't run, 130 after Ctrl-C, 141 if the
reader of the output (such as head) has ended, 143 after SIGTERM.
doctor -- PROGRAM ends with the program's exit status, whatever was found.

`gluellm-pools COMMAND --help` lists the arguments of a command.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import signal
import sys
from collections.abc import Collection, Sequence

from opentelemetry.instrumentation.gluellm.version import __version__

from .arguments import (
    END_SIGNALS,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    CommandError,
    handled,
    help_texts,
    suggestion,
)
from .demo.command import add_demo
from .doctor.command import add_doctor
from .text import printable, printable_lines
from .verify.command import add_verify
from .watch.command import add_watch

_PROGRAM = "gluellm-pools"
EXIT_BROKEN_PIPE = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    Raises SystemExit for wrong arguments, ``--help`` and signals.
    """
    parser, commands = _parsers()
    if "_ARGCOMPLETE" in os.environ:  # a shell asks for completions (docs/commands.md)
        with contextlib.suppress(ImportError):
            importlib.import_module("argcomplete").autocomplete(parser)
    given = sys.argv[1:] if arguments is None else arguments
    command = next((word for word in given if not word.startswith("-")), None)
    if command is not None and command not in commands:
        parser.error(
            f"unknown command {command!r}{suggestion(command, commands)}; the commands are "
            f"{', '.join(commands)}"
        )
    end = given.index("--") if "--" in given else len(given)
    if (program := given[end + 1 :]) and command != "doctor":
        parser.error(f"{command} runs no program; found {printable(program[0])!r} after --")
    options = parser.parse_args(given[:end] or ["--help"], argparse.Namespace(program=program))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # bars must not fail on an ASCII terminal
    ending = [number for number in END_SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
    try:
        with handled(ending, _leave):
            status: int = options.run(options)
        print(end="", flush=True)  # here an error can be reported
        return status
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return EXIT_INTERRUPTED
    except CommandError as error:
        return _refuse(options.command, str(error), error.status)
    except ImportError as error:
        extra = f"[{options.extra}]" if options.extra else ""
        install = f"pip install 'opentelemetry-instrumentation-gluellm{extra}'"
        return _refuse(options.command, f"{error}.\nInstall what it needs with: {install}")
    except OSError as error:
        # Keep the interpreter from flushing again what can't be written.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # the reader of the output has ended
            return EXIT_BROKEN_PIPE
        where = f": {error.filename}" if error.filename else ""
        return _refuse(options.command, f"stopped: {error.strerror or error}{where}")


def _refuse(command: str, message: str, status: int = EXIT_USAGE) -> int:
    print(f"{_PROGRAM} {command}: {printable_lines(message)}", file=sys.stderr)
    return status


def _leave(number: int, _frame: object) -> None:
    """Raise SystemExit, so that terminal and files are left in order."""
    sys.exit(128 + number)


def _parsers() -> tuple[argparse.ArgumentParser, Collection[str]]:
    """Return the parser, and the names of the commands."""
    parser = argparse.ArgumentParser(prog=_PROGRAM, **help_texts(__doc__))
    parser.add_argument("-V", "--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", dest="command", required=True
    )
    for add in (add_demo, add_watch, add_doctor, add_verify):
        add(commands)
    return parser, commands.choices


if __name__ == "__main__":
    sys.exit(main())

"""The command ``gluellm-pools``.

Exit status: 0 on success and for help, 2 for wrong arguments and for a command that can't run, 130
after Ctrl-C, 141 if the reader of the output has ended, 143 after SIGTERM. ``--help`` of
``doctor``, ``watch`` and ``verify`` lists further ones.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence

from opentelemetry.instrumentation.gluellm.version import __version__

from .arguments import refuse, suggestion
from .demo.command import add_demo
from .doctor.command import add_doctor
from .verify.command import add_verify
from .watch.command import add_watch

_PROGRAM = "gluellm-pools"
_DESCRIPTION = "Shows the connection pools under LLM calls: which calls wait, why, and what to do."
_EPILOG = """\
examples:
  gluellm-pools demo
  gluellm-pools watch
  gluellm-pools doctor --pid 4242
  gluellm-pools doctor -- python app.py
  gluellm-pools verify --prometheus http://localhost:9090

`gluellm-pools COMMAND --help` lists the arguments of a command.
"""
EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 130, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    Raises SystemExit for wrong arguments, ``--help`` and signals.
    """
    parser, commands = _parsers()
    if "_ARGCOMPLETE" in os.environ:  # a shell asks for completions (docs/commands.md)
        with contextlib.suppress(ImportError):
            importlib.import_module("argcomplete").autocomplete(parser)
    given = sys.argv[1:] if arguments is None else arguments
    options = _parse(parser, commands, given or ["--help"])
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # bars must not fail on an ASCII terminal
    try:
        with _exit_on_signals():
            status: int = options.run(options)
        print(end="", flush=True)  # here an error can be reported
        return status
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return EXIT_INTERRUPTED
    except OSError as error:
        # Keep the interpreter from flushing again what can't be written.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # the reader of the output has ended
            return EXIT_BROKEN_PIPE
        where = f": {error.filename}" if error.filename else ""
        why = f"stopped: {error.strerror or error}{where}"
        return refuse(f"{_PROGRAM} {options.command}", why)


@contextlib.contextmanager
def _exit_on_signals() -> Iterator[None]:
    """Raise SystemExit on SIGTERM and SIGHUP, so that terminal and files are left in order."""

    def leave(number: int, _frame: object) -> None:
        sys.exit(128 + number)

    both = {signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}
    numbers = [number for number in both if signal.getsignal(number) is signal.SIG_DFL]
    try:
        for number in numbers:
            signal.signal(number, leave)
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def _parse(
    parser: argparse.ArgumentParser,
    commands: dict[str, argparse.ArgumentParser],
    arguments: Sequence[str],
) -> argparse.Namespace:
    """Parse the arguments. Raises SystemExit(2), and names the nearest command or option."""
    command = next((word for word in arguments if not word.startswith("-")), None)
    if command is not None and command not in commands:
        parser.error(
            f"unknown command {command!r}{suggestion(command, commands)}; the commands are "
            f"{', '.join(commands)}"
        )
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        # argparse would print the usage of the whole program here.
        used = commands.get(options.command, parser)
        known = [option for action in used._actions for option in action.option_strings]
        used.error(f"unknown argument {unknown[0]!r}{suggestion(unknown[0], known)}")
    return options


def _parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """Return the parser of the program, and those of its commands by name."""
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-V", "--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", dest="command", required=True
    )
    for add in (add_demo, add_watch, add_doctor, add_verify):
        add(commands)
    return parser, commands.choices


if __name__ == "__main__":
    sys.exit(main())

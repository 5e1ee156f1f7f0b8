"""The command ``gluellm-pools``.

Exit status: 0 on success and for help, 1 if the demo's numbers disagree, 2 for wrong arguments and
for a command that can't run, 130 after Ctrl-C, 141 if the reader of the output has ended.
``--help`` of ``doctor``, ``watch`` and ``verify`` lists further ones.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import importlib
import io
import os
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from opentelemetry.instrumentation.gluellm.version import __version__

from .arguments import install_hint, missing_message, port, refuse, seconds
from .doctor.command import add_parser as add_doctor
from .verify.command import add_parser as add_verify
from .watch.command import add_parser as add_watch

_PROGRAM = "gluellm-pools"
_DEMO = "gluellm-pools demo"
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
_DEMO_EPILOG = """\
examples:
  gluellm-pools demo
  gluellm-pools demo --list
  gluellm-pools demo --scenario leak --seconds 20
"""
_DEMO_MODULES = ("rich", "any_llm", "openai", "anthropic", "h11", "h2", "opentelemetry.sdk")
_OTLP_MODULE = "opentelemetry.exporter.otlp.proto.http"
_SHORTEST, _LONGEST = 6.0, 3600.0
_ACT_SECONDS = 12.0
_HIGHEST_PORT = 65_533  # the demo takes three in a row
EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 130, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status; wrong arguments raise SystemExit(2)."""
    parser, commands = _parsers()
    if "_ARGCOMPLETE" in os.environ:  # a shell asks for completions (docs/commands.md)
        with contextlib.suppress(ImportError):
            importlib.import_module("argcomplete").autocomplete(parser)
    options = _parse(parser, commands, sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # bars must not fail on an ASCII terminal
    try:
        if options.command is None:
            parser.print_help()
            return 0
        status: int = options.run(options)
        return status
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of the output has ended: end as well, and keep the interpreter from flushing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE


def _parse(
    parser: argparse.ArgumentParser,
    commands: dict[str, argparse.ArgumentParser],
    arguments: Sequence[str],
) -> argparse.Namespace:
    """Parse the arguments. Raises SystemExit(2), and names the nearest command or option."""
    command = next((word for word in arguments if not word.startswith("-")), None)
    if command is not None and command not in commands:
        parser.error(
            f"unknown command {command!r}{_suggestion(command, commands)}; the commands are "
            f"{', '.join(commands)}"
        )
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        # argparse would print the usage of the whole program here.
        used = commands.get(options.command, parser)
        known = [option for action in used._actions for option in action.option_strings]
        used.error(f"unknown argument {unknown[0]!r}{_suggestion(unknown[0], known)}")
    return options


def _suggestion(word: str, known: Iterable[str]) -> str:
    nearest = difflib.get_close_matches(word.partition("=")[0], list(known), n=1)
    return f" (did you mean {nearest[0]}?)" if nearest else ""


def _parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """Return the parser of the program, and those of its commands by name."""
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-V", "--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    _add_demo(commands)
    add_watch(commands)
    add_doctor(commands)
    add_verify(commands)
    return parser, commands.choices


def _add_demo(commands: argparse._SubParsersAction[Any]) -> None:
    demo = commands.add_parser(
        "demo",
        help="watch the pools of real any-llm calls against a fake provider",
        description="Plays acts of about 12 s each: real any-llm calls to a fake provider on this\n"
        "machine, and what their connection pools show. Four acts by default. With\n"
        "OTEL_EXPORTER_OTLP_ENDPOINT set, metrics and spans are also exported there (OTLP/HTTP).",
        epilog=_DEMO_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    demo.add_argument(
        "--seconds",
        type=seconds(_LONGEST, _SHORTEST),
        metavar="N",
        help=f"length of all acts together, from {_SHORTEST:g} to {_LONGEST:g} "
        f"(default: {_ACT_SECONDS:g} per act); each act takes at least a few seconds",
    )
    choice = demo.add_mutually_exclusive_group()
    choice.add_argument("--all", action="store_true", help="play every act")
    choice.add_argument(
        "--scenario",
        metavar="NAME",
        help="play this act, after the one that it builds on, if any (see --list)",
    )
    choice.add_argument("--list", action="store_true", help="list the acts and stop")
    demo.add_argument(
        "--port",
        type=port(_HIGHEST_PORT),
        default=0,
        metavar="PORT",
        help="first of three consecutive ports for the fake providers (default: any free ones)",
    )
    demo.set_defaults(run=_demo)


def _demo(options: argparse.Namespace) -> int:
    from .demo.acts import SCENARIOS, acts_to_play, plan

    if options.list:
        for name, act in SCENARIOS.items():
            line = act.line if act.by_default else f"(--all) {act.line}"
            print(textwrap.fill(f"{name:12} {line}", 80, subsequent_indent=" " * 13))
        return 0
    if options.scenario is not None and options.scenario not in SCENARIOS:
        return refuse(
            _DEMO,
            f"unknown act {options.scenario!r}{_suggestion(options.scenario, SCENARIOS)}; the acts "
            f"are {', '.join(SCENARIOS)}",
        )
    wanted = list(_DEMO_MODULES)
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        wanted.append(_OTLP_MODULE)
    if missing := missing_message(wanted, "demo"):
        return refuse(
            _DEMO,
            missing,
        )
    from .demo.run import run
    from .fake_provider import PortInUseError

    acts = acts_to_play(options.scenario, every=options.all)
    try:
        return run(plan(acts, options.seconds or _ACT_SECONDS * len(acts)), options.port)
    except PortInUseError as error:
        return refuse(
            _DEMO,
            f"{error.strerror}. Choose another with --port, or omit it to use any free ports.",
        )
    except ImportError as error:
        return refuse(
            _DEMO, f"the demo needs more than is installed: {error}\n{install_hint('demo')}"
        )
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        return refuse(_DEMO, f"the demo can't run here: {error}")


if __name__ == "__main__":
    sys.exit(main())

"""The command ``gluellm-pools``.

Exit status: 0 when all went well, 1 when the demo's numbers disagree, 2 for a command that can't be
run as given, 130 after Ctrl-C; for those of ``doctor`` see its ``--help``.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import textwrap
from collections.abc import Sequence

from opentelemetry.instrumentation.gluellm.version import __version__

from .arguments import installed, port, refuse, seconds
from .doctor.command import add_parser as add_doctor
from .verify.command import add_parser as add_verify
from .watch.command import add_parser as add_watch

_PROGRAM = "gluellm-pools"
_DESCRIPTION = "Connection pools under LLM calls, made visible."
_DEMO_EXTRA = "opentelemetry-instrumentation-gluellm[demo]"
_DEMO_MODULES = ("rich", "any_llm", "openai", "anthropic", "h2", "opentelemetry.sdk")
_OTLP_MODULE = "opentelemetry.exporter.otlp.proto.http"
_SHORTEST, _LONGEST = 6.0, 3600.0
_STORY_SECONDS, _SCENARIO_SECONDS = 55.0, 10.0
_HIGHEST_PORT = 65_532  # the demo takes four in a row
EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 130, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status; wrong arguments raise SystemExit(2)."""
    options = _parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # bars are no reason to fail on an ASCII terminal
    try:
        status: int = options.run(options)
        return status
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has left: leave as well, and keep the interpreter from flushing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=_PROGRAM, description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    demo = commands.add_parser(
        "demo",
        help="watch the pools of real any-llm calls against a fake provider",
        description="Plays a story of about 55 s in acts: real any-llm calls against a fake "
        "provider on loopback, and what their connection pools show of it. With "
        "OTEL_EXPORTER_OTLP_ENDPOINT set, metrics and spans are exported there too (OTLP/HTTP).",
    )
    demo.add_argument(
        "--seconds",
        type=seconds(_LONGEST, _SHORTEST),
        metavar="N",
        help=f"length, from {_SHORTEST:g} to {_LONGEST:g} "
        f"(default: {_STORY_SECONDS:g}; with --scenario {_SCENARIO_SECONDS:g})",
    )
    demo.add_argument("--scenario", metavar="NAME", help="play this act only (see --list)")
    demo.add_argument("--list", action="store_true", help="list the acts and stop")
    demo.add_argument(
        "--port",
        type=port(_HIGHEST_PORT),
        default=0,
        metavar="PORT",
        help="first of the fake providers' ports, which are in a row (default: any free ones)",
    )
    demo.set_defaults(run=_demo)
    add_doctor(commands)
    add_watch(commands)
    add_verify(commands)
    return parser


def _demo(options: argparse.Namespace) -> int:
    missing = _missing()
    if missing:
        return refuse(
            _PROGRAM,
            f"the demo needs {', '.join(missing)}, which is not installed.\n"
            f"Install it with: pip install '{_DEMO_EXTRA}'",
        )
    from .demo.acts import SCENARIOS

    if options.list:
        for name, act in SCENARIOS.items():
            print(textwrap.fill(f"{name:12} {act.line}", 80, subsequent_indent=" " * 13))
        return 0
    if options.scenario is not None and options.scenario not in SCENARIOS:
        return refuse(
            _PROGRAM,
            f"there is no scenario {options.scenario!r}. Known are: {', '.join(SCENARIOS)}",
        )
    from .demo.run import run
    from .fake_provider import PortInUseError

    default = _STORY_SECONDS if options.scenario is None else _SCENARIO_SECONDS
    try:
        return run(options.scenario, options.seconds or default, options.port)
    except PortInUseError as error:
        return refuse(
            _PROGRAM, f"{error.strerror}. Choose another with --port, or leave it to the system."
        )
    except ImportError as error:
        return refuse(
            _PROGRAM,
            f"the demo needs more than is installed: {error}\n"
            f"Install it with: pip install '{_DEMO_EXTRA}'",
        )
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        return refuse(_PROGRAM, f"the demo can't run here: {error}")


def _missing() -> list[str]:
    """Modules that the demo needs and that are not installed."""
    wanted = list(_DEMO_MODULES)
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        wanted.append(_OTLP_MODULE)
    return [name for name in wanted if not installed(name)]


if __name__ == "__main__":
    sys.exit(main())

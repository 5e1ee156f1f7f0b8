"""The arguments of ``watch``."""

from __future__ import annotations

import argparse
import importlib.util
import math
import sys
from typing import Any

EXIT_USAGE = 2
_EXTRA = "opentelemetry-instrumentation-gluellm[cli]"
_MODULES = ("rich", "h11", "google.protobuf", "google.rpc", "opentelemetry.proto")
_HOST, _PORT = "127.0.0.1", 4318
_LONGEST = 30 * 86400.0

_DESCRIPTION = """\
Shows the connection pools of whatever program exports its metrics here over OTLP/HTTP, live: for
who has no collector at hand. Start it, then start the program with

  OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318
  OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf
  OTEL_METRIC_EXPORT_INTERVAL=5000
"""
_EPILOG = """\
exit status: 0 after --seconds, 2 it can't listen or lacks something, 130 after Ctrl-C, 143 after
SIGTERM.
"""


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``watch`` to the commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "watch",
        help="watch the pools of programs that export here over OTLP/HTTP",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--port",
        type=_port,
        default=_PORT,
        metavar="PORT",
        help=f"listen on this port, 0 for any free one (default: {_PORT})",
    )
    parser.add_argument(
        "--host",
        default=_HOST,
        metavar="ADDRESS",
        help=f"listen on this address (default: {_HOST}; with another one, anyone who reaches it "
        "can send: there is no authentication)",
    )
    parser.add_argument(
        "--seconds", type=_seconds, metavar="N", help="stop after so long (default: on Ctrl-C)"
    )
    parser.set_defaults(run=_watch)


def _watch(options: argparse.Namespace) -> int:
    missing = [name for name in _MODULES if not _installed(name)]
    if missing:
        return _refuse(
            f"this needs {', '.join(missing)}, which is not installed.\n"
            f"Install it with: pip install '{_EXTRA}'"
        )
    from .refusal import CannotListenError, CannotShowError
    from .run import run

    try:
        return run(options.host, options.port, options.seconds)
    except (CannotListenError, CannotShowError) as error:
        return _refuse(f"{error}.")


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package above it is missing
        return False


def _refuse(message: str) -> int:
    print(f"gluellm-pools watch: {message}", file=sys.stderr)
    return EXIT_USAGE


def _port(text: str) -> int:
    value = int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else -1
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(
            f"found {text!r}, allowed is a port from 1 to 65535, or 0 for any free one"
        )
    return value


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= _LONGEST:
        raise argparse.ArgumentTypeError(
            f"found {text!r}, allowed is a number of seconds, at most {_LONGEST:g}"
        )
    return value

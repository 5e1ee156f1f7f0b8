"""The arguments of ``watch``."""

from __future__ import annotations

import argparse
from typing import Any

from ..arguments import installed, port, refuse, seconds

_COMMAND = "gluellm-pools watch"
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
        type=port(),
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
        "--seconds",
        type=seconds(_LONGEST),
        metavar="N",
        help="stop after so long (default: on Ctrl-C)",
    )
    parser.set_defaults(run=_watch)


def _watch(options: argparse.Namespace) -> int:
    missing = [name for name in _MODULES if not installed(name)]
    if missing:
        return refuse(
            _COMMAND,
            f"this needs {', '.join(missing)}, which is not installed.\n"
            f"Install it with: pip install '{_EXTRA}'",
        )
    from .refusal import CannotListenError, CannotShowError
    from .run import run

    try:
        return run(options.host, options.port, options.seconds)
    except (CannotListenError, CannotShowError) as error:
        return refuse(_COMMAND, f"{error}.")

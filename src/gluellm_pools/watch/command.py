"""Receive metrics over OTLP/HTTP, and show the LLM calls and pools of programs.

No Collector is needed. Start `gluellm-pools watch`, and then the program with

  OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318
  OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf
  OTEL_METRIC_EXPORT_INTERVAL=2000
  OTEL_PYTHON_GLUELLM_FINDINGS_INTERVAL=5

examples:
  gluellm-pools watch
  gluellm-pools watch --for 60 --json | jq '.processes[].calls[].verdict'

exit status: 0 after --for, 2 if the command can't listen or write its output,
or if a package is missing, 130 after Ctrl-C, 143 after SIGTERM.
"""

from __future__ import annotations

import argparse
import math
import threading
import time
from typing import TYPE_CHECKING, Any

from ..arguments import EXIT_INTERRUPTED, CommandError, add_command, number_between, time_span
from ..text import printable

if TYPE_CHECKING:
    from .display import Display
    from .intake import Intake

_HOST, _PORT = "127.0.0.1", 4318
_INTERVAL = 0.5


def add_watch(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``watch`` to the commands."""
    parser = add_command(
        commands,
        "watch",
        _watch,
        __doc__,
        extra="cli",
        help="receive metrics over OTLP/HTTP, and show calls and pools",
    )
    port_help = f"port to listen on, 0 for any free one (default: {_PORT})"
    port = number_between(0, 65_535, "a port from 1 to 65535, or 0 for any free one")
    parser.add_argument("--port", type=port, default=_PORT, metavar="PORT", help=port_help)
    host_help = f"address to listen on; anyone who reaches it can send (default: {_HOST})"
    parser.add_argument("--host", default=_HOST, metavar="ADDRESS", help=host_help)
    for_help = "end after this many seconds (default: at Ctrl-C)"
    span = time_span("1ms", "30d")
    parser.add_argument("--for", "--seconds", type=span, dest="seconds", metavar="N", help=for_help)
    json_help = "print one JSON object at the end"
    parser.add_argument("--json", action="store_true", help=json_help)


def _watch(options: argparse.Namespace) -> int:
    from ..screens import Terminal, redraws
    from .display import JsonDisplay, LineDisplay, LiveDisplay
    from .intake import Intake
    from .receiver import Receiver

    intake = Intake()
    try:
        receiver = Receiver(options.host or _HOST, options.port, intake)
    except (OSError, UnicodeError) as error:
        where = f"port {options.port} of {printable(options.host, 100)}"
        why = getattr(error, "strerror", None) or error
        raise CommandError(
            f"can't listen on {where}: {why}. Choose another --port or --host."
        ) from None
    threading.Thread(target=receiver.serve_forever, name="gluellm-watch", daemon=True).start()
    console = Terminal()
    display: Display = JsonDisplay(receiver.url, intake)
    if not options.json:
        kind = LiveDisplay if redraws(console) else LineDisplay
        display = kind(receiver.url, intake, console)
    try:
        return _show(display, intake, options.seconds)
    finally:
        receiver.shutdown()
        receiver.server_close()


def _show(display: Display, intake: Intake, duration: float | None) -> int:
    """Show what comes until the end; the exit status."""
    ends = time.monotonic() + (math.inf if duration is None else duration)
    display.start()
    try:
        while (left := ends - time.monotonic()) > 0:
            with intake.lock:
                intake.processes.forget_gone()
                display.show()
            time.sleep(min(_INTERVAL, left))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    finally:
        with intake.lock:
            display.finish()
    return 0

"""Play four acts of about 12 s each, or every act with --all.

An act makes real any-llm calls to a fake provider on this machine, and shows
their connection pools. If OTEL_EXPORTER_OTLP_ENDPOINT is set, the demo also
exports metrics and spans there (OTLP/HTTP).

examples:
  gluellm-pools demo
  gluellm-pools demo --list
  gluellm-pools demo --scenario leak --seconds 20
"""

from __future__ import annotations

import argparse
import textwrap
from typing import Any

from ..arguments import CommandError, add_command, suggestion, time_span

_ACT_SECONDS = 12.0


def add_demo(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``demo`` to the commands."""
    parser = add_command(
        commands,
        "demo",
        _demo,
        __doc__,
        extra="demo",
        help="show the pools of real any-llm calls to a fake provider",
    )
    length = f"length of all acts together, from 6s to 1h (default: {_ACT_SECONDS:g} per act)"
    parser.add_argument("--seconds", type=time_span("6s", "1h"), metavar="N", help=length)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--all", action="store_true", help="play every act")
    scenario = "play one act (see --list); some need another act, which is played first"
    choice.add_argument("--scenario", metavar="NAME", help=scenario)
    choice.add_argument("--list", action="store_true", help="list the acts and stop")


def _demo(options: argparse.Namespace) -> int:
    from .acts import SCENARIOS, acts_to_play, plan

    if options.list:
        for name, act in SCENARIOS.items():
            line = act.line if act.by_default else f"{act.line} Not played by default."
            print(textwrap.fill(f"{name:14} {line}", 80, subsequent_indent=" " * 15))
        return 0
    if options.scenario is not None and options.scenario not in SCENARIOS:
        unknown = f"unknown act {options.scenario!r}{suggestion(options.scenario, SCENARIOS)}"
        raise CommandError(f"{unknown}; the acts are {', '.join(SCENARIOS)}")
    from .run import run

    acts = acts_to_play(options.scenario, every=options.all)
    return run(plan(acts, options.seconds or _ACT_SECONDS * len(acts)))

"""Play four acts, or every act with --all. The four take about a minute.

An act makes real any-llm calls to a fake provider on this machine, in a process
of its own, and shows their connection pools. It lasts until the process has
found what is wrong, at most 25 s. If OTEL_EXPORTER_OTLP_ENDPOINT is set, the
demo also exports metrics and spans there (OTLP/HTTP).

examples:
  gluellm-pools demo
  gluellm-pools demo --list
  gluellm-pools demo --scenario leak
"""

from __future__ import annotations

import argparse
import textwrap
from typing import Any

from ..arguments import CommandError, add_command, suggestion


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
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--all", action="store_true", help="play every act")
    choice.add_argument("--scenario", metavar="NAME", help="play one act (see --list)")
    choice.add_argument("--list", action="store_true", help="list the acts and stop")


def _demo(options: argparse.Namespace) -> int:
    from .acts import SCENARIOS, STORY

    if options.list:
        for name, act in SCENARIOS.items():
            line = act.line if act.by_default else f"{act.line} Not played by default."
            print(textwrap.fill(f"{name:14} {line}", 80, subsequent_indent=" " * 15))
        return 0
    if options.scenario is not None and options.scenario not in SCENARIOS:
        unknown = f"unknown act {options.scenario!r}{suggestion(options.scenario, SCENARIOS)}"
        raise CommandError(f"{unknown}; the acts are {', '.join(SCENARIOS)}")
    from .run import run

    if options.scenario is not None:
        return run([SCENARIOS[options.scenario]])
    return run([act for act in STORY if options.all or act.by_default])

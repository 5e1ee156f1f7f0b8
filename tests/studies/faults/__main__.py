"""What a Collector at fault does to a program, for each fault and protocol.

Each pair is with and without telemetry, two programs with the same load at the same time.
late: the worst lateness of a timer of the event loop while the Collector was at fault and after.
ours: the worst, less the time for which the machine kept the program's threads from a processor.
waited: of that, the worst in which the loop's own thread did not compute: it waited for another.
memory: growth of resident memory while the Collector was at fault.
stored: what the counter rose by in a Prometheus that scrapes the Collector, in one that takes OTLP
from it, and in VictoriaMetrics. It has to be the calls.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from e2e.programs import Stack

from .playing import FAULTS, Fault, Figures, Stage, play
from .verdict import STALL, costs, harm

_HEAD = (
    f"{'fault':<23} {'protocol':<13} {'calls':>5} {'exceptions':>10} {'exports':>7} {'failed':>6} "
    f"{'late':>13} {'ours':>11} {'waited':>11} {'memory':>10}  stored"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Play and print. 0, or 1 when a run was not as it should be, 2 without the programs."""
    parser = argparse.ArgumentParser(
        prog="make -C tests/studies faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=[fault.name.lower() for fault in Fault],
        help="play this fault only; can be given several times",
    )
    options = parser.parse_args(arguments)
    wanted = [Fault[name.upper()] for name in options.only or ()] or list(Fault)
    began = time.monotonic()
    found = []
    try:
        with (
            tempfile.TemporaryDirectory() as name,
            Stage(Stack(Path(name) / "stack"), Path(name)) as stage,
        ):
            print(_HEAD, flush=True)
            for protocol, faults in FAULTS.items():
                for fault in faults:
                    if fault in wanted:
                        figures = play(fault, protocol, stage)
                        print(line(figures), flush=True)
                        found += harm(figures) + costs(figures)
    except (pytest.skip.Exception, pytest.fail.Exception) as reason:
        print(reason, file=sys.stderr)
        return 2
    print(__doc__)
    print(f"Allowed are no exception, and a loop that waited for less than {STALL * 1e3:.0f} ms.")
    print(f"Played in {time.monotonic() - began:.0f} s.")
    for complaint in found:
        print(complaint, file=sys.stderr)
    print(f"{len(found)} complaints." if found else "All runs as they should be.")
    return int(bool(found))


def line(figures: Figures) -> str:
    """One row of the table."""
    both, last = (figures.with_telemetry, figures.without), figures.last
    late, ours, waited = (
        "/".join(f"{each[name] * 1e3:.1f}" for each in both) + " ms"
        for name in ("late", "stalled", "waited")
    )
    stored = "/".join(f"{value:.0f}" for value in figures.increases.values())
    memory = "/".join(f"{grown / 1e6:.1f}" for grown in figures.growth) + " MB"
    return (
        f"{figures.fault:<23} {figures.protocol:<13} {last['answered']:>5} "
        f"{len(figures.errors):>10} {last['exports']:>7} {last['failed_exports']:>6} {late:>13} "
        f"{ours:>11} {waited:>11} {memory:>10}  {stored}"
    )


if __name__ == "__main__":
    sys.exit(main())

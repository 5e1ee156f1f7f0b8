"""``make soak``: half an hour of mixed load with every kind of fault, under the instrumentation."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.figures import Figures
from support.talking import TalkingProcess
from support.waiting import wait_until

from .places import STACKS_SIGNAL, Places
from .servers import serving

_STANDS_STILL = 60.0
"""Seconds without anything new from a worker after which the run has failed."""
_DUMPED_WITHIN = 10.0
_LAST_OF_A_DUMP = "in _run_module_as_main"
"""The outermost frame of the main thread, whose stack comes last."""


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when everything held, 1 when not, 2 on bad arguments."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, help="how long (default: 30)")
    length.add_argument("--seconds", type=float)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of all random draws")
    parser.add_argument("--figures", type=Path, help="write the figures into this file, as JSON")
    parser.add_argument(
        "--without", action="store_true", help="the same load without the instrumentation"
    )
    options = parser.parse_args(arguments)
    seconds = options.seconds or (options.minutes or 30) * 60
    if not 5 <= seconds <= 24 * 3600:
        parser.error("from 5 seconds to a day")
    # One in the background of a shell inherits an ignored one, and has to end on it all the same.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    print(f"soak: {seconds:.0f} s, seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as name, serving(Path(name)) as places:
        figures = _watched(places, seconds, options, Path(name) / "stderr")
    return figures.finish(options.figures)


def _watched(places: Places, seconds: float, options: Any, log: Path) -> Figures:
    """The program's figures, or why there are none."""
    more = ["--without"] if options.without else []
    arguments = [
        "studies.load.soak.program",
        places.to_json(),
        str(seconds),
        str(options.seed),
        *more,
    ]
    figures = Figures("Soak: every kind of fault at once", {"seed": options.seed})
    process = TalkingProcess(arguments, log, new_session=True)
    try:
        said = _follow(process)
        figures.values |= said["figures"]
        figures.broken += said["broken"]
    except RuntimeError as error:
        figures.broken.append(f"{error} (exit status {process.process.poll()})")
        _dump(process, log)
    finally:
        process.kill()
    return figures


def _follow(process: TalkingProcess) -> dict[str, Any]:
    """Read that it lives until it is done. Raises RuntimeError where it is stuck or gone."""
    while True:
        try:
            said = process.expect("alive")
            if "figures" in said:
                return said
            if said["still"] > _STANDS_STILL:
                raise RuntimeError(
                    f"{said['worker']} has done nothing for {said['still']:.0f} s, "
                    f"in: {said['deed']}"
                )
        except KeyboardInterrupt:
            print("stopping", flush=True)
            process.tell("stop")


def _dump(process: TalkingProcess, log: Path) -> None:
    """The stacks of all threads, from whatever state it is in."""
    if process.process.poll() is None:
        process.process.send_signal(STACKS_SIGNAL)
        # Or it is not running at all: then what there is has to do.
        with contextlib.suppress(AssertionError):
            wait_until(
                lambda: _LAST_OF_A_DUMP in log.read_text(errors="replace"),
                timeout=_DUMPED_WITHIN,
            )
    sys.stderr.write(log.read_text(errors="replace")[-40_000:])


if __name__ == "__main__":
    sys.exit(main())

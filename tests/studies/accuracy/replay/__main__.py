"""Play incidents at their real speed, each as its own service, to explore their metrics.

``serve FOLDER`` serves the kept data of a replay and prints, at its end, what was wrong.
"""

import argparse
import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from studies.figures import Parser

from ..catalogue import INCIDENTS
from .replay import DATA, KeptPrometheus, Record, Replay, moment


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 when done, 2 if a program is missing."""
    parser = Parser("incident", __doc__)
    parser.add_argument("words", nargs="*", metavar="INCIDENT", help=", ".join(INCIDENTS))
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="a new folder for the data")
    parser.add_argument("--minutes", type=float, default=5, help="of the incident; default: 5")
    parser.add_argument("--healthy", type=float, default=2, help="minutes before that; default: 2")
    parser.add_argument("--interval", type=float, default=10, help="s between exports; default: 10")
    parser.add_argument("--hold", type=float, default=0, help="seconds to stay up afterwards")
    options = parser.parse_args(arguments)
    command, *rest = options.words or [""]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that everything is stopped
    try:
        if command == "serve":
            return _look(parser, Path(*rest), options.hold or 3600)
        return _replay(parser, options)
    except KeyboardInterrupt:
        return 130
    except (pytest.skip.Exception, pytest.fail.Exception) as missing:
        print(missing, file=sys.stderr)
        return 2


def _replay(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    names = options.words
    if unknown := [name for name in names if name not in INCIDENTS]:
        parser.error(f"there is no incident {unknown[0]!r}; there are {', '.join(INCIDENTS)}")
    if not names:
        parser.error("name at least one incident")
    with contextlib.ExitStack() as exits:
        folder = options.keep or Path(exits.enter_context(tempfile.TemporaryDirectory()))
        try:
            folder.mkdir(parents=True, exist_ok=not options.keep)
        except OSError as error:
            parser.error(f"{folder} can't be made: {error.strerror}")
        replay = Replay(folder.absolute(), names, options.interval)
        with replay.running():
            _print(f"Prometheus: {replay.prometheus.url}, Alertmanager: {replay.alertmanager.url}")
            _print(f"services: {', '.join(sorted(service.name for service in replay.services))}")
            _print(f"healthy for {options.healthy:g} min, then wrong for {options.minutes:g} min")
            began = time.time()
            replay.begin(60 * options.healthy)
            time.sleep(60 * options.minutes)
            replay.record(began)
            if not options.keep:
                _print("what is wrong:", *Record.read(folder).lines())
            labels = [row["metric"] for row in replay.firing()]
            for job in sorted({label.get("job", "no service") for label in labels}):
                names = {one["alertname"] for one in labels if one.get("job", "no service") == job}
                _print(f"{job}: {', '.join(sorted(names))}")
            _print(f"ready, for {options.hold:.0f} s: {replay.prometheus.url}")
            time.sleep(options.hold)
    return 0


def _look(parser: argparse.ArgumentParser, kept: Path, hold: float) -> int:
    try:
        record = Record.read(kept)
    except OSError as error:
        parser.error(f"{kept} holds no replay: {error.strerror}")
    with tempfile.TemporaryDirectory() as folder:
        prometheus = KeptPrometheus("kept", Path(folder), kept.absolute() / DATA)
        prometheus.start()
        try:
            _print(f"Prometheus: {prometheus.url}, for {hold:.0f} s")
            _print(f"from {moment(record.began)} to {moment(record.ended)} (UTC)")
            _print(f"exported every {record.interval:g} s; services: {', '.join(record.services)}")
            time.sleep(hold)
        finally:
            prometheus.stop()
            _print("what was wrong:", *record.lines())
    return 0


def _print(*lines: str) -> None:
    for line in lines:
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""``make incident`` and ``make alert-matrix``: replay, look again, or see which alerts fire."""

from __future__ import annotations

import argparse
import math
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from .catalogue import HIDDEN, INCIDENTS
from .matrix import Bounds, rows, table
from .record import DATA, Record, clock
from .replay import Replay, Timing
from .store import KeptPrometheus, waits

_DAY = 86_400.0
_KEEP = "a new folder for the data"
_HIDDEN, _ALL, _SERVE, _ANSWER, _MATRIX = "hidden", "all", "serve", "answer", "matrix"


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when done, 1 when alerts were not as expected, 2 where a program is missing."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    others = {_SERVE: _serve, _ANSWER: _answer, _MATRIX: _matrix}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that all is stopped on the way out
    try:
        if words and words[0] in others:
            return others[words[0]](words[1:])
        return _replay(words)
    except KeyboardInterrupt:
        return 130
    except (pytest.skip.Exception, pytest.fail.Exception) as missing:
        print(missing, file=sys.stderr)
        return 2


def _replay(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="incidents",
        description="Replay incidents, each as a service of its own. Also: `matrix` for the alerts "
        "of all, `serve FOLDER` for data that was kept, `answer FOLDER` for what was wrong in it.",
    )
    parser.add_argument(
        "incidents", nargs="*", type=_incident, metavar="INCIDENT", help=", ".join(INCIDENTS)
    )
    parser.add_argument("--all", action="store_true", help="all of them at once")
    parser.add_argument(
        "--hidden", type=int, metavar="SEED", help="one that isn't told until the end"
    )
    parser.add_argument("--tell", action="store_true", help="say what begins where")
    parser.add_argument(
        "--hold", type=_until(_DAY), default=0, metavar="SECONDS", help="stay up after it"
    )
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help=_KEEP)
    _add_timing(parser)
    options = parser.parse_args(words)
    names = list(INCIDENTS) if options.all else options.incidents
    if options.hidden is not None:
        names = [random.Random(f"{options.hidden}/hidden").choice(HIDDEN)]
        options.seed = options.hidden
    if not names:
        parser.error("name an incident, or --all, or --hidden SEED")
    with ExitStack() as exits:
        folder = _folder(parser, options.keep, exits)
        replay = Replay(folder.absolute(), names, _timing(options), options.seed)
        with replay.running():
            _say(f"Prometheus: {replay.prometheus.url}, Alertmanager: {replay.alertmanager.url}")
            _say(f"services: {', '.join(sorted(service.name for service in replay.services))}")
            replay.play(_say)
            if options.tell:
                _say("what is wrong:", *Record.of(replay).lines())
            _say(f"ready, for {options.hold:.0f} s: {replay.prometheus.url}")
            time.sleep(options.hold)
            record = Record.of(replay)
            record.write(folder)
        if options.hidden is not None and options.keep is None:
            _say("what was wrong:", *record.lines())
        if options.keep is not None:
            _say(f"kept; 'make incident ARGS=...' takes 'serve {folder}' and 'answer {folder}'")
    return 0


def _matrix(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="incidents matrix",
        description="All incidents at once: which alert fires how long after the beginning. Fails "
        "where an expected one is missing or late, or where one pages that should not.",
    )
    parser.add_argument(
        "incidents", nargs="*", type=_incident, metavar="INCIDENT", help="only these"
    )
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help=_KEEP)
    _add_timing(parser)
    options = parser.parse_args(words)
    timing = _timing(options)
    with ExitStack() as exits:
        folder = _folder(parser, options.keep, exits)
        names = options.incidents or list(INCIDENTS)
        replay = Replay(folder.absolute(), names, timing, options.seed)
        with replay.running():
            _say(f"Prometheus: {replay.prometheus.url}, Alertmanager: {replay.alertmanager.url}")
            replay.play(_say)
            firing, held_back = replay.prometheus.firing(), replay.held_back()
            Record.of(replay).write(folder)
        services = {
            service.name: (service.incident, service.began or 0.0, service.starved)
            for service in replay.services
        }
    found = rows(services, firing, held_back)
    bounds = Bounds(timing.interval, waits(), timing.wrong)
    print(f"\nSeconds from the beginning to firing, exported every {timing.interval:g} s.\n")
    print(table(found, bounds))
    wrong = [line for row in found for line in row.wrong(bounds)]
    strangers = {key for key in firing if key[0] not in services}
    wrong += [f"{alert} fired for {job or 'no service'!r}" for job, alert in sorted(strangers)]
    starved = max(row.starved for row in found)
    print(f"\nA process was kept from a processor for {starved:.2f} s at the most.")
    for line in wrong:
        print(f"WRONG: {line}")
    if not wrong:
        print("Every expected alert fired in time, and nothing paged that should not.")
    return 1 if wrong else 0


def _serve(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="incidents serve", description="Data that was kept.")
    parser.add_argument("folder", type=_kept_folder)
    parser.add_argument("--hold", type=_until(_DAY), default=3600, metavar="SECONDS")
    options = parser.parse_args(words)
    record = Record.read(options.folder)
    with tempfile.TemporaryDirectory() as folder:
        prometheus = KeptPrometheus("kept", Path(folder), options.folder.absolute() / DATA)
        prometheus.start()
        try:
            _say(f"Prometheus: {prometheus.url}, for {options.hold:.0f} s")
            _say(f"from {clock(record.began)} to {clock(record.ended)} (UTC)")
            _say(f"exported every {record.interval:g} s; services: {', '.join(record.services)}")
            time.sleep(options.hold)
        finally:
            prometheus.stop()
    return 0


def _answer(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="incidents answer", description="What was wrong.")
    parser.add_argument("folder", type=_kept_folder)
    _say(*Record.read(parser.parse_args(words).folder).lines())
    return 0


def _add_timing(parser: argparse.ArgumentParser) -> None:
    minutes = _until(_DAY / 60)
    parser.add_argument("--minutes", type=minutes, default=5, help="after it began; default: 5")
    parser.add_argument("--healthy", type=minutes, default=2, help="minutes before; default: 2")
    parser.add_argument(
        "--interval",
        type=_until(600, least=1),
        default=10,
        metavar="SECONDS",
        help="of exports; default: 10",
    )
    parser.add_argument("--seed", type=int, default=1, help="default: 1")


def _incident(name: str) -> str:
    if name not in INCIDENTS:
        raise argparse.ArgumentTypeError(
            f"there is no incident {name!r}; there are {', '.join(INCIDENTS)}"
        )
    return name


def _folder(parser: argparse.ArgumentParser, keep: Path | None, exits: ExitStack) -> Path:
    if keep is None:
        return Path(exits.enter_context(tempfile.TemporaryDirectory()))
    try:
        keep.mkdir(parents=True)
    except FileExistsError:
        parser.error(f"{keep} is there already")
    except OSError as error:
        parser.error(f"{keep} can't be made: {error.strerror}")
    return keep


def _kept_folder(name: str) -> Path:
    try:
        Record.read(Path(name))
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{name} holds no replay: {error.strerror}") from None
    return Path(name)


def _until(most: float, *, least: float = 0.0) -> Callable[[str], float]:
    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(
                f"found {text!r}, allowed is a number from {least:g} to {most:g}"
            )
        return value

    return number


def _timing(options: argparse.Namespace) -> Timing:
    return Timing(
        interval=options.interval, healthy=60 * options.healthy, wrong=60 * options.minutes
    )


def _say(*lines: str) -> None:
    for line in lines:
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())

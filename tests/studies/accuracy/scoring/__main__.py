"""``make -C tests/studies score``: play incidents, ask ``doctor``, and judge what was reported."""

from __future__ import annotations

import importlib
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from studies.figures import Parser

from .. import clock

if TYPE_CHECKING:
    from ..replay.replay import Replay, Service
    from .judging import Seen

SPEED = 12.0
HEALTHY, ASKED, WRONG = 45.0, 40.0, 70.0
"""Seconds before the incidents begin, and from then on until ``doctor`` runs and until the end.
With `SPEED`, these stand for 9, 8 and 14 minutes."""
_INTERVAL = 1.25
"""Seconds between two exports; they stand for 15 s."""
_BESIDE = 6
"""Incidents that run at once."""
_STARVED = 0.1
"""A run isn't judged if it got no processor for more than this share of the time: its event loop
really was late, which hides the incident. It is repeated, up to `_TRIES` runs; the last one
counts."""
_TRIES = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if at least 90 % is right and nothing wrong, 1 if not, 2 if a program is missing."""
    clock.scale(SPEED)  # before the rules are built from the thresholds
    from ..catalogue import HALVES, INCIDENTS
    from .judging import ASPECTS, passes, share

    parser = Parser("score", __doc__)
    parser.add_argument("names", nargs="*", metavar="INCIDENT", help=", ".join(INCIDENTS))
    parser.add_argument("--half", choices=HALVES, help="default: both")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - INCIDENTS.keys():
        parser.error(f"there is no incident {', '.join(unknown)}")
    names = list(options.names or HALVES.get(options.half, INCIDENTS))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that everything is stopped
    began, results = time.monotonic(), []
    tries = Counter(names)
    try:
        while names:
            some, names = names[:_BESIDE], names[_BESIDE:]
            for result in _play(some):
                name = result.incident.name
                if result.note and tries[name] < _TRIES:
                    tries[name] += 1
                    names.append(name)
                    continue
                results.append(result)
                verdicts = ", ".join(f"{aspect} {result.verdict(aspect)}" for aspect in ASPECTS)
                print(f"{name}: {verdicts}", *result.lines(), sep="\n", flush=True)
    except (pytest.skip.Exception, pytest.fail.Exception) as missing:
        print(missing, file=sys.stderr)
        return 2
    for half, members in HALVES.items():
        if some := [result for result in results if result.incident.name in members]:
            shares = (f"{aspect} {share(some, aspect):.0%}" for aspect in ASPECTS)
            print(f"Right in the {half} half, a wrong one counted double: {', '.join(shares)}")
    again = sum(tries.values()) - len(results)
    print(f"{len(results)} incidents, {again} played again, {time.monotonic() - began:.0f} s.")
    return 0 if passes(results) else 1


def _play(names: Sequence[str]) -> Iterator[Seen]:
    """Play some incidents side by side."""
    from ..replay.replay import Replay
    from .judging import Seen

    seen: dict[str, Seen] = {}
    with tempfile.TemporaryDirectory() as folder:
        replay = Replay(Path(folder), names, _INTERVAL, SPEED)
        with replay.running():
            replay.begin(HEALTHY)
            time.sleep(ASKED)
            with ThreadPoolExecutor(2) as threads:
                answers = list(threads.map(_ask, replay.services))
            last = max(service.began for service in replay.services)
            time.sleep(max(last + WRONG - time.time(), 0))
            firing = replay.firing()
            for service, (status, findings) in zip(replay.services, answers, strict=True):
                alerts = firing.get(service.name, {})
                seen[service.name] = Seen(
                    incident=service.incident,
                    findings=findings,
                    status=status,
                    alerts={name: at - service.began for name, at in alerts.items()},
                    values=_values(replay, service),
                )
        for service in replay.services:
            result, one = seen[service.name], service.incident
            result.calls = service.calls
            if service.failed:
                result.note = f"the incident itself failed: {service.failed}"
            elif service.starved > _STARVED * (HEALTHY + WRONG) and one.where != "event loop":
                result.note = f"no processor for {service.starved:.1f} s"
            yield result


def _ask(service: Service) -> tuple[int, list[dict[str, str]]]:
    """Return the exit status and the findings of ``doctor --pid``."""
    doctor = ["-m", "gluellm_pools.main", "doctor", "--json", "--timeout", "20"]
    command = [sys.executable, *doctor, "--pid", str(service.program.process.pid)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"doctor failed for {service.incident.name}: {done.stderr}")
    findings: list[dict[str, str]] = json.loads(done.stdout)["findings"]
    return done.returncode, findings


def _values(replay: Replay, service: Service) -> dict[str, float]:
    """Return the overview's highest values, as `Seen.values` has them."""
    from .judging import signs_of

    names = "calls connections paging pools process requests streams waiting".split()
    modules = (importlib.import_module(f"gluellm_dashboards.signals.{name}") for name in names)
    every = (one for module in modules for one in vars(module).values())
    signals = {one.name: one.query for one in every if hasattr(one, "query")}
    found, start = {}, f"{service.began - HEALTHY / 2:.3f}"
    for name, least, label in signs_of(service.incident):
        promql = clock.scaled(signals[name].promql(f'job="{service.name}"'), SPEED)
        asked = {"query": promql, "start": start, "end": f"{time.time():.3f}", "step": "2"}
        rows = [
            row["values"]
            for row in replay.prometheus.ask("/api/v1/query_range", asked)["result"]
            if not label or label in row["metric"].values()
        ]
        before, during = (
            [
                float(value)
                for row in rows
                for at, value in row
                if (at >= service.began) is wrong and value not in ("NaN", "+Inf")
            ]
            for wrong in (False, True)
        )
        most = max(during, default=0.0)
        if str(least).startswith("x"):
            most /= statistics.median(before) if before and any(before) else 1.0
        found[f"{name} {label}".strip()] = most
    return found


if __name__ == "__main__":
    sys.exit(main())

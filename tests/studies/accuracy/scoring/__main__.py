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
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from studies.figures import Parser

from ..catalogue import CONTROL, HALVES, INCIDENTS
from ..replay.replay import Replay, Service
from .judging import ASPECTS, Report, Seen, passes, share, signs_of

HEALTHY, WRONG, MENDED, ASKED = 300.0, 600.0, 540.0, 300.0
"""Seconds before the incidents, in them, and after them; and in them until ``doctor`` runs."""
_HOUR = 3600.0
"""A control's time in place of `WRONG`."""
_INTERVAL = 60.0
"""Seconds between two exports."""
_BESIDE = 20
"""Incidents that run at once: each takes about 5 % of a processor."""
_STARVED = 0.1
"""A run is marked if it got no processor for more than this share of the time: its event loop
really was late, which hides the incident."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if at least 90 % is right and nothing wrong, 1 if not, 2 if a program is missing."""
    parser = Parser("score", __doc__)
    parser.add_argument("names", nargs="*", metavar="INCIDENT", help=", ".join(INCIDENTS))
    parser.add_argument("--half", choices=HALVES, help="default: both")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="for series, logs and alerts")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - INCIDENTS.keys():
        parser.error(f"there is no incident {', '.join(unknown)}")
    names = list(options.names or HALVES.get(options.half, INCIDENTS))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that everything is stopped
    began, results = time.monotonic(), []
    try:
        for one_is_wrong, wrong in ((True, WRONG), (False, _HOUR)):
            some = [name for name in names if (INCIDENTS[name].cause != CONTROL) is one_is_wrong]
            for first in range(0, len(some), _BESIDE):
                for result in _play(some[first : first + _BESIDE], wrong, options.keep):
                    results.append(result)
                    print(result.row(), *result.lines(), sep="\n", flush=True)
    except (pytest.skip.Exception, pytest.fail.Exception) as missing:
        print(missing, file=sys.stderr)
        return 2
    for half, members in HALVES.items():
        if those := [result for result in results if result.incident.name in members]:
            shares = (f"{aspect} {share(those, aspect):.0%}" for aspect in ASPECTS)
            print(f"Right in the {half} half, a wrong one counted double: {', '.join(shares)}")
    print(f"{len(results)} incidents, {time.monotonic() - began:.0f} s.")
    return 0 if passes(results) else 1


def _play(names: Sequence[str], wrong: float, keep: Path | None) -> Iterator[Seen]:
    """Play some incidents side by side, each for ``wrong`` seconds."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = keep / f"{names[0]}-{len(names)}" if keep else Path(temporary)
        replay = Replay(folder.absolute(), names, _INTERVAL)
        with replay.running(), ThreadPoolExecutor(2) as threads:
            replay.begin(HEALTHY)
            time.sleep(ASKED)
            answers = list(threads.map(_ask, replay.services))
            for service in replay.services:
                time.sleep(max(service.began + wrong - time.time(), 0))
                service.mend()
            for service in replay.services:
                service.program.expect("mended")
            time.sleep(MENDED)
            replay.record(replay.services[0].began - HEALTHY)
            seen = [
                Seen(
                    incident=service.incident,
                    findings=findings,
                    status=status,
                    exported=_during(service, _exported(replay, service)),
                    alerts=_during(service, _fired(replay, service)),
                    logged=_during(service, _logged(service)),
                    judged=_judged(replay, service),
                    values=_values(replay, service),
                )
                for service, (status, findings) in zip(replay.services, answers, strict=True)
            ]
        for service, result in zip(replay.services, seen, strict=True):
            result.calls = service.calls
            if service.failed:
                result.note = f"the incident itself failed: {service.failed}"
            elif service.starved > _STARVED * (HEALTHY + wrong + MENDED):
                result.note = f"no processor for {service.starved:.1f} s"
            yield result


def _ask(service: Service) -> tuple[int, list[dict[str, str]]]:
    """Return the exit status and the findings of ``doctor --pid``."""
    doctor = ["-m", "gluellm_pools.main", "doctor", "--json", "--timeout", "30"]
    command = [sys.executable, *doctor, "--pid", str(service.program.process.pid)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"doctor failed for {service.incident.name}: {done.stderr}")
    findings: list[dict[str, str]] = json.loads(done.stdout)["findings"]
    return done.returncode, findings


def _during(service: Service, reports: Iterator[Report]) -> list[Report]:
    """Leave out what began after the incident, when its calls end all at once."""
    return [one for one in reports if one.began < service.mended - service.began]


def _exported(replay: Replay, service: Service) -> Iterator[Report]:
    rows = replay.prometheus.samples(f'gluellm_finding_current{{job="{service.name}"}}', 3600)
    for row in rows:
        labels, values = row["metric"], row["values"]
        if active := [at for at, value in values if value]:
            over = active[-1] < values[-1][0]
            yield Report(
                kind=labels["gluellm_finding_kind"],
                severity=labels["gluellm_finding_severity"],
                began=active[0] - service.began,
                ended=active[-1] + _INTERVAL - service.mended if over else None,
            )


def _judged(replay: Replay, service: Service) -> int:
    rows = replay.prometheus.query(f'gluellm_finding_judged_total{{job="{service.name}"}}')
    return int(sum(row["value"][1] for row in rows))


def _fired(replay: Replay, service: Service) -> Iterator[Report]:
    for row in replay.firing():
        labels, times = row["metric"], [at for at, _ in row["values"]]
        if labels.get("job") == service.name:
            yield Report(
                alert=labels["alertname"],
                kind=labels.get("gluellm_finding_kind", ""),
                severity=labels["severity"],
                began=times[0] - service.began,
                ended=times[-1] - service.mended if times[-1] < time.time() - _INTERVAL else None,
            )


def _logged(service: Service) -> Iterator[Report]:
    records = [one for one in service.records() if one["kind"]]
    for one in records:
        if one["level"] == "WARNING":
            ends = [
                end["at"] - service.mended
                for end in records
                if (end["kind"], end["level"]) == (one["kind"], "INFO") and end["at"] > one["at"]
            ]
            yield Report(
                kind=one["kind"],
                severity=one["severity"],
                began=one["at"] - service.began,
                ended=max(ends, default=None),
                text=one["text"],
            )


def _values(replay: Replay, service: Service) -> dict[str, float]:
    """Return the overview's highest values, as `Seen.values` has them."""
    names = "calls connections paging pools process requests streams waiting".split()
    modules = (importlib.import_module(f"gluellm_dashboards.signals.{name}") for name in names)
    every = (one for module in modules for one in vars(module).values())
    signals: dict[str, Any] = {one.name: one.query for one in every if hasattr(one, "query")}
    found, start = {}, f"{service.began - HEALTHY / 2:.3f}"
    for name, least, label in signs_of(service.incident):
        promql = signals[name].promql(f'job="{service.name}"')
        asked = {"query": promql, "start": start, "end": f"{service.mended:.3f}", "step": "15"}
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

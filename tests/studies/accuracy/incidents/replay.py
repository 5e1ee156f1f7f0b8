"""A replay: stores and services, what went wrong when, what fired, and what is kept of it."""

from __future__ import annotations

import base64
import contextlib
import json
import random
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from e2e.compose import DEV
from e2e.programs import Alertmanager, Prometheus
from studies.talking import TalkingProcess

from ..catalogue import REPLAYED, Incident

RULES: Final = Path(__file__).parents[4] / "dashboards" / "prometheus"
DATA: Final = Path("prometheus") / "data"
"""Of Prometheus, below the folder of a replay."""
_NAMES: Final = (
    "apple apricot blackberry cherry currant damson elderberry fig gooseberry grape medlar "
    "mulberry peach pear plum quince"
).split()
"""Of services, which give nothing away."""
_FILE, _SEALED = "replay.json", "sealed"
_BESIDE: Final = 3
"""Services that start at once: each process needs a processor for about two seconds."""


@dataclass
class Service:
    """The processes of one incident."""

    name: str
    incident: Incident
    told: dict[str, Any]
    log: Path
    began: float = 0.0
    """When it went wrong, in seconds since the epoch."""
    starved: float = 0.0
    """The longest that a process of it was kept from a processor."""
    processes: list[TalkingProcess] = field(default_factory=list)

    def launch(self, *, joins: bool = False) -> TalkingProcess:
        """Start a process, of a new version where it joins the others later."""
        process = TalkingProcess(["studies.accuracy.incidents.program"], self.log, new_session=True)
        self.processes.append(process)
        pod = f"{self.name}-{random.getrandbits(32):08x}"
        resource = {
            "service.name": self.name,
            "service.instance.id": pod,
            "service.version": "1.5.0" if joins else "1.4.0",
            "k8s.cluster.name": "cluster-1",
            "k8s.namespace.name": "agents",
            "k8s.pod.name": pod,
        }
        told = {"incident": self.incident.name, "joins": joins, "resource": resource}
        process.tell(json.dumps({**self.told, **told}))
        return process

    def begin(self) -> None:
        """Let it go wrong."""
        for process in self.processes:
            process.tell("begin")
        self.began = max(process.expect("began")["at"] for process in self.processes)
        if self.incident.joins is not None:
            process = self.launch(joins=True)
            self.began = process.expect("ready")["at"]

    def end(self) -> None:
        """End all processes, without a last export."""
        with contextlib.ExitStack() as exits:
            for process in self.processes:
                exits.callback(process.kill)
            for process in self.processes:
                assert process.process.stdin is not None
                process.process.stdin.close()
                self.starved = max(self.starved, process.expect("over")["starved"])


class Replay:
    """Services that run in front of a Prometheus. Times are seconds."""

    def __init__(self, folder: Path, incidents: Sequence[str], interval: float, seed: int) -> None:
        self.folder = folder
        self.interval = interval
        self.alertmanager = Alertmanager(
            "alertmanager", folder, DEV / "alertmanager" / "alertmanager.yaml"
        )
        self.prometheus = Prometheus("prometheus", folder)
        for file in RULES.glob("*.yaml"):
            shutil.copy(file, self.prometheus.folder / "rules")
        endpoint = self.prometheus.otlp_endpoint
        told = {"seed": seed, "endpoint": endpoint, "interval": interval}
        names = random.Random(f"{seed}/names").sample(_NAMES, len(incidents))
        self.services = [
            Service(name, REPLAYED[incident], told, folder / f"{name}.log")
            for name, incident in zip(names, incidents, strict=True)
        ]

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Stores and services; both have ended when the context is left."""
        with contextlib.ExitStack() as exits:
            exits.callback(self.alertmanager.stop)
            self.alertmanager.start()
            exits.callback(self.prometheus.stop)
            self.prometheus.alert(self.alertmanager)
            self.prometheus.start()
            for first in range(0, len(self.services), _BESIDE):
                some = self.services[first : first + _BESIDE]
                for service in some:
                    exits.callback(service.end)
                    for _ in range(2 if service.incident.joins else 1):
                        service.launch()
                for process in (process for service in some for process in service.processes):
                    process.expect("ready")
            yield

    def play(self, healthy: float, wrong: float, say: Callable[[str], None]) -> None:
        """A time of health, then the incidents, to the end of their time; then it is recorded."""
        began = time.time()
        say(f"well for {healthy:.0f} s")
        time.sleep(healthy)
        for service in self.services:
            service.begin()
        say(f"wrong for {wrong:.0f} s")
        time.sleep(wrong)
        answers = [
            (service.name, f"{service.incident.name}: {service.incident.answer}", service.began)
            for service in self.services
        ]
        body = {"began": began, "ended": time.time(), "interval": self.interval}
        (self.folder / _FILE).write_text(json.dumps(body, indent=2) + "\n")
        (self.folder / _SEALED).write_bytes(base64.b85encode(json.dumps(answers).encode()))

    def firing(self) -> dict[str, dict[str, float]]:
        """By service and alert its first moment, in seconds since the epoch."""
        first: dict[str, dict[str, float]] = {}
        for row in self.prometheus.samples('ALERTS{alertstate="firing"}', 24 * 3600):
            alerts = first.setdefault(row["metric"].get("job", ""), {})
            name, at = row["metric"]["alertname"], row["values"][0][0]
            alerts[name] = min(at, alerts.get(name, at))
        return first

    def held_back(self) -> set[tuple[str, str]]:
        """Alerts that Alertmanager has now and tells nobody of, by service and name."""
        states: dict[tuple[str, str], set[str]] = {}
        for alert in self.alertmanager.alerts():
            key = alert["labels"].get("job", ""), alert["labels"]["alertname"]
            states.setdefault(key, set()).add(alert["status"]["state"])
        return {key for key, found in states.items() if found == {"suppressed"}}


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a replay leaves behind in its folder. Times are seconds since the epoch."""

    began: float
    ended: float
    interval: float
    """Seconds between two exports."""
    answers: list[tuple[str, str, float]]
    """Service, what was wrong, and since when. Sealed, so that nobody reads it by chance."""

    @classmethod
    def read(cls, folder: Path) -> Record:
        """Raises FileNotFoundError."""
        body = json.loads((folder / _FILE).read_text())
        answers = json.loads(base64.b85decode((folder / _SEALED).read_bytes()))
        return cls(**body, answers=[(name, text, at) for name, text, at in answers])

    @property
    def services(self) -> list[str]:
        """In an order that tells nothing."""
        return sorted(name for name, _, _ in self.answers)

    def lines(self) -> list[str]:
        """The answers, to print."""
        width = max(map(len, self.services))
        return [f"{name:{width}}  {clock(at)}  {text}" for name, text, at in self.answers]


class KeptPrometheus(Prometheus):
    """Prometheus over a copy of data that was kept; it adds nothing to it."""

    def __init__(self, name: str, folder: Path, data: Path) -> None:
        super().__init__(name, folder)
        shutil.copytree(data, self.folder / "data")

    def command(self, executable: Path) -> list[str]:
        return [*super().command(executable), "--storage.tsdb.retention.time=10y"]


def clock(at: float) -> str:
    """A moment as Grafana's time picker takes it, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))

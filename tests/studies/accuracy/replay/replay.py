"""A replay: its stores and services, the alerts that fired, and a record of what went wrong."""

from __future__ import annotations

import base64
import contextlib
import json
import random
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from e2e.compose import DEV
from e2e.programs import Alertmanager, Prometheus
from e2e.serving import Request, serving
from gluellm_dashboards import rules
from studies.talking import TalkingProcess

from ..catalogue import INCIDENTS, Incident

DATA: Final = Path("prometheus") / "data"
"""Prometheus' data, below the folder of a replay."""
_NAMES: Final = (
    "almond apple apricot blackberry cherry currant damson elderberry fig gooseberry grape lemon "
    "lime mango medlar melon mulberry nectarine olive orange papaya peach pear plum quince walnut"
).split()
"""Names of services, which don't reveal the incident."""
_FILE, _SEALED = "replay.json", "sealed"
_BESIDE: Final = 3
"""Services that start at once: each process needs a processor for about two seconds."""


@dataclass
class Service:
    """The process of one incident."""

    name: str
    incident: Incident
    given: dict[str, Any]
    log: Path
    began: float = 0.0
    """Begin of the incident, in seconds since the epoch."""
    mended: float = 0.0
    """Its end."""
    starved: float = 0.0
    """Seconds in which the process was ready to run but got no processor."""
    failed: str = ""
    """What the incident's own code raised; empty unless it has a bug."""
    calls: dict[str, dict[str, int]] = field(default_factory=dict)
    """The application's counts of its calls, before and after the incident began."""
    program: TalkingProcess = field(init=False)

    def launch(self) -> None:
        """Start the process."""
        # GlueLLM writes into the home folder.
        home = {"HOME": str(self.log.parent)}
        program = ["studies.accuracy.replay.program"]
        self.program = TalkingProcess(program, self.log, home, new_session=True)
        pod = f"{self.name}-{random.getrandbits(32):08x}"
        resource = {
            "service.name": self.name,
            "service.instance.id": pod,
            "service.version": "1.4.0",
            "k8s.cluster.name": "cluster-1",
            "k8s.namespace.name": "agents",
            "k8s.pod.name": pod,
        }
        given = {"incident": self.incident.name, "resource": resource}
        self.program.send_line(json.dumps({**self.given, **given}))

    def begin(self) -> None:
        """Begin the incident."""
        self.program.send_line("begin")
        self.began = self.program.expect("began")["at"]

    def mend(self) -> None:
        """End the incident, while the process goes on."""
        self.program.send_line("mend")
        self.mended = time.time()

    def records(self) -> list[dict[str, Any]]:
        """What the process has logged."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith('{"at"')]

    def end(self) -> None:
        """End the process without a last export."""
        try:
            assert self.program.process.stdin is not None
            self.program.process.stdin.close()
            over = self.program.expect("over")
            self.starved, self.failed, self.calls = (
                over[name] for name in ("starved", "failed", "calls")
            )
        finally:
            self.program.kill()


class Replay:
    """Services that export to a Prometheus. Times are seconds."""

    def __init__(self, folder: Path, incidents: Sequence[str], interval: float) -> None:
        self.folder = folder
        self.interval = interval
        self.alertmanager = Alertmanager(
            "alertmanager", folder, DEV / "alertmanager" / "alertmanager.yaml"
        )
        self.prometheus = Prometheus("prometheus", folder)
        groups = rules.text({"groups": rules.groups()})
        (self.prometheus.folder / "rules" / "rules.yaml").write_text(groups)
        endpoint = self.prometheus.otlp_endpoint
        given = {"endpoint": endpoint, "interval": interval}
        self.sent: list[dict[str, Any]] = []
        """Notifications of Alertmanager, as its webhook has them, each with its time (``at``)."""
        names = random.sample(_NAMES, len(incidents))
        self.services = [
            Service(name, INCIDENTS[incident], given, folder / f"{name}.log")
            for name, incident in zip(names, incidents, strict=True)
        ]

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run stores and services until the context is left."""
        with contextlib.ExitStack() as exits:
            port = exits.enter_context(serving(self._notified))
            content = yaml.safe_load(self.alertmanager.configuration.read_text())
            for receiver in content["receivers"]:
                receiver["webhook_configs"] = [{"url": f"http://127.0.0.1:{port}/"}]
            self.alertmanager.configuration.write_text(yaml.safe_dump(content))
            exits.callback(self.alertmanager.stop)
            self.alertmanager.start()
            exits.callback(self.prometheus.stop)
            self.prometheus.alert(self.alertmanager)
            self.prometheus.start()
            for first in range(0, len(self.services), _BESIDE):
                some = self.services[first : first + _BESIDE]
                for service in some:
                    service.launch()
                    exits.callback(service.end)
                for service in some:
                    service.program.expect("ready")
            yield

    def begin(self, healthy: float) -> None:
        """Wait for ``healthy`` seconds, then begin all incidents."""
        time.sleep(healthy)
        for service in self.services:
            service.begin()

    def record(self, began: float) -> None:
        """Write what was played into the folder."""
        answers = [
            (service.name, f"{service.incident.name}: {service.incident.answer}", service.began)
            for service in self.services
        ]
        body = {"began": began, "ended": time.time(), "interval": self.interval}
        (self.folder / _FILE).write_text(json.dumps(body, indent=2) + "\n")
        (self.folder / _SEALED).write_bytes(base64.b85encode(json.dumps(answers).encode()))

    def firing(self) -> list[dict[str, Any]]:
        """Samples of the alerts that fired."""
        return self.prometheus.samples('ALERTS{alertstate="firing"}', 24 * 3600)

    def _notified(self, received: Request) -> str:
        body = {"at": time.time(), **json.loads(received.body)}
        self.sent.append(body)
        with (self.folder / "sent.jsonl").open("a") as file:
            file.write(json.dumps(body) + "\n")
        return ""


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a replay leaves behind in its folder. Times are seconds since the epoch."""

    began: float
    ended: float
    interval: float
    """Seconds between two exports."""
    answers: list[tuple[str, str, float]]
    """Service, what was wrong, and since when. The file encodes them against reading by chance."""

    @classmethod
    def read(cls, folder: Path) -> Record:
        """Raises FileNotFoundError."""
        body = json.loads((folder / _FILE).read_text())
        answers = json.loads(base64.b85decode((folder / _SEALED).read_bytes()))
        return cls(**body, answers=[(name, text, at) for name, text, at in answers])

    @property
    def services(self) -> list[str]:
        """Names of the services, in alphabetical order, which doesn't reveal incidents."""
        return sorted(name for name, _, _ in self.answers)

    def lines(self) -> list[str]:
        """The answers, to print."""
        width = max(map(len, self.services))
        return [f"{name:{width}}  {moment(at)}  {text}" for name, text, at in self.answers]


class KeptPrometheus(Prometheus):
    """A Prometheus on a copy of kept data; it adds no samples."""

    def __init__(self, name: str, folder: Path, data: Path) -> None:
        super().__init__(name, folder)
        shutil.copytree(data, self.folder / "data")

    def command(self, executable: Path) -> list[str]:
        return [*super().command(executable), "--storage.tsdb.retention.time=10y"]


def moment(at: float) -> str:
    """A moment as Grafana's time picker takes it, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))

"""A service: the processes of one incident, under a name that doesn't give it away."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, Final

from support.talking import TalkingProcess

from .incident import Incident, Instance

_CLUSTER, _NAMESPACE = "cluster-1", "agents"
_POD: Final = "0123456789bcdf"


class Process(TalkingProcess):
    """One instance."""

    def __init__(self, told: dict[str, Any], log: Path) -> None:
        super().__init__(["studies.accuracy.incidents.program"], log, new_session=True)
        self.tell(json.dumps(told))

    def begin(self) -> float:
        """Let it go wrong; when it did, in seconds since the epoch."""
        self.tell("begin")
        at: float = self.expect("began")["at"]
        return at

    def end(self) -> float:
        """End it, without a last export; the longest that it was kept from a processor."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.close()
            starved: float = self.expect("over")["starved"]
        finally:
            self.kill()
        return starved


class Service:
    """One incident under a name."""

    def __init__(
        self,
        name: str,
        incident: Incident,
        *,
        seed: int,
        endpoint: str,
        interval: float,
        folder: Path,
    ) -> None:
        self.name = name
        self.incident = incident
        self.began: float | None = None
        """When it went wrong, in seconds since the epoch."""
        self.starved = 0.0
        """The longest that a process of it was kept from a processor."""
        self._random = random.Random(f"{seed}/{name}")
        self._common = {
            "incident": incident.name,
            "seed": seed,
            "endpoint": endpoint,
            "interval": interval,
        }
        self._log = folder / f"{name}.log"
        self._processes: list[Process] = []

    def launch(self) -> None:
        """Start the processes that are there from the first; `ready` waits for them."""
        self._start(joins=False)

    def ready(self) -> None:
        """Wait until they call. Raises RuntimeError where one doesn't."""
        for process in self._processes:
            process.expect("ready")

    def begin(self) -> None:
        """Let it go wrong."""
        moments = [process.begin() for process in self._processes]
        for process in self._start(joins=True):
            moments.append(process.expect("ready")["at"])
            process.begin()
        self.began = max(moments)

    def end(self) -> None:
        """End all processes."""
        processes, self._processes = self._processes, []
        try:
            self.starved = max((process.end() for process in processes), default=0.0)
        finally:
            for process in processes:
                process.kill()

    def _start(self, *, joins: bool) -> list[Process]:
        started = [
            Process(
                {**self._common, "instance": number, "resource": self._resource(instance)},
                self._log,
            )
            for number, instance in enumerate(self.incident.instances)
            if instance.joins == joins
        ]
        self._processes += started
        return started

    def _resource(self, instance: Instance) -> dict[str, str]:
        pod = f"{self.name}-{self._characters(9)}-{self._characters(5)}"
        return {
            "service.name": self.name,
            "service.instance.id": pod,
            "service.version": instance.version,
            "k8s.cluster.name": _CLUSTER,
            "k8s.namespace.name": _NAMESPACE,
            "k8s.pod.name": pod,
        }

    def _characters(self, count: int) -> str:
        return "".join(self._random.choices(_POD, k=count))

"""Stores that answer PromQL over HTTP."""

import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from . import compose
from .alertmanager import Alertmanager
from .running import HOST, Program, request

_MINUTES = 60.0
Sample = tuple[float, float]
"""Time in seconds since the epoch, and value."""


class Store(Program):
    """A program with Prometheus' query API."""

    port_names = ("http",)
    lacks: tuple[str, ...] = ()
    """Prefixes of flags to leave out, as users may."""

    def query(self, promql: str, at: float | None = None) -> list[dict[str, Any]]:
        """Evaluate an instant query: ``{"metric": labels, "value": (time, value)}`` per series.

        Without ``at`` (seconds since the epoch), the time is now. Raises RuntimeError with the
        response if the store refuses the query.
        """
        found = self._query(promql, at)
        return [{**row, "value": _sample(row["value"])} for row in found]

    def samples(self, selector: str, seconds: float = 10 * _MINUTES) -> list[dict[str, Any]]:
        """Return stored samples: ``{"metric": labels, "values": [(time, value), ...]}``."""
        found = self._query(f"{selector}[{seconds:.0f}s]", None)
        return [
            {"metric": row["metric"], "values": list(map(_sample, row["values"]))} for row in found
        ]

    def ask(self, path: str, parameters: dict[str, str]) -> Any:
        """Return the ``data`` of a response of the query API. Raises RuntimeError if refused."""
        status, text = request(self.ports["http"], f"{path}?{urlencode(parameters)}")
        if status != 200:
            raise RuntimeError(f"{self.name}: {status} {text}")
        return json.loads(text)["data"]

    def post(self, path: str, body: str) -> tuple[int, str]:
        """Send a POST, and return status and text of the response."""
        return request(self.ports["http"], path, "POST", body)

    def _query(self, promql: str, at: float | None) -> list[dict[str, Any]]:
        parameters = {"query": promql, "time": f"{time.time() if at is None else at:.3f}"}
        found: list[dict[str, Any]] = self.ask("/api/v1/query", parameters)["result"]
        return found


class Prometheus(Store):
    """Prometheus with the users' configuration.

    `scrape` adds targets, `load_rules` adds rules, and `alert` sets the Alertmanager.
    """

    executable = "prometheus"
    health_path = "/-/ready"

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name, folder)
        self.configuration = self.folder / "prometheus.yaml"
        self.configuration.write_bytes((compose.DEV / "prometheus/prometheus.yaml").read_bytes())
        self.data = self.folder / "data"
        (self.folder / "targets").mkdir()
        (self.folder / "rules").mkdir()

    def change(self, before: str, after: str) -> None:
        """Replace text in its configuration, before the start."""
        text = self.configuration.read_text()
        assert before in text
        self.configuration.write_text(text.replace(before, after))

    def command(self, executable: Path) -> list[str]:
        flags = compose.flags(
            "prometheus",
            config__file=str(self.configuration),
            storage__tsdb__path=str(self.data),
            web__listen_address=f"{HOST}:{self.ports['http']}",
        )
        return [str(executable), *(flag for flag in flags if not flag.startswith(self.lacks))]

    @property
    def otlp_endpoint(self) -> str:
        """Base URL for OTLP/HTTP. Metrics go to ``/v1/metrics`` below it."""
        return f"{self.url}/api/v1/otlp"

    def scrape(self, job: str, port: int, /, every: float = 1.0, **labels: str) -> None:
        """Scrape ``/metrics`` of a port with a job of prometheus.yaml: collector or programs."""
        # Setting the interval by a label of the target leaves the users' file unchanged.
        timing = {"__scrape_interval__": f"{every * 1000:.0f}ms"}
        timing["__scrape_timeout__"] = timing["__scrape_interval__"]
        file = self.folder / "targets" / f"{job}-{port}.yaml"
        _write_target(file, port, {**timing, **labels})

    def load_rules(self, *files: Path, every: float = 1.0) -> None:
        """Evaluate rule files with this interval in seconds. Call it before the start."""
        for file in files:
            content = yaml.safe_load(file.read_text())
            for group in content["groups"]:
                group["interval"] = f"{every * 1000:.0f}ms"
            (self.folder / "rules" / file.name).write_text(yaml.safe_dump(content))

    def alert(self, alertmanager: Alertmanager) -> None:
        """Send alerts to this Alertmanager. The configuration reads its address from this file."""
        _write_target(self.folder / "alertmanagers.yaml", alertmanager.ports["http"], {})

    def exemplars(self, selector: str) -> list[dict[str, Any]]:
        """Return the exemplars of the last hour by series: ``seriesLabels`` and ``exemplars``."""
        now = time.time()
        parameters = {
            "query": selector,
            "start": f"{now - 60 * _MINUTES:.3f}",
            "end": f"{now + _MINUTES:.3f}",
        }
        found: list[dict[str, Any]] = self.ask("/api/v1/query_exemplars", parameters)
        return found


class VictoriaMetrics(Store):
    """VictoriaMetrics with the users' flags."""

    executable = "victoria-metrics"
    health_path = "/health"

    def command(self, executable: Path) -> list[str]:
        flags = compose.flags(
            "victoria-metrics",
            storageDataPath=str(self.folder / "data"),
            httpListenAddr=f"{HOST}:{self.ports['http']}",
            relabelConfig=str(compose.DEV / "victoria-metrics/relabel.yaml"),
        )
        return [str(executable), *(flag for flag in flags if not flag.startswith(self.lacks))]

    @property
    def otlp_endpoint(self) -> str:
        """Base URL for OTLP/HTTP. Metrics go to ``/v1/metrics`` below it."""
        return f"{self.url}/opentelemetry"

    def ask(self, path: str, parameters: dict[str, str]) -> Any:
        """Extend `Store.ask` by the newest data: the default hides the last 30 s."""
        request(self.ports["http"], "/internal/force_flush")
        return super().ask(path, {**parameters, "latency_offset": "1ms", "nocache": "1"})


def _write_target(file: Path, port: int, labels: dict[str, str]) -> None:
    target = {"targets": [f"{HOST}:{port}"], "labels": labels}
    file.with_suffix(".tmp").write_text(yaml.safe_dump([target]))
    file.with_suffix(".tmp").rename(file)


def _sample(pair: list[Any]) -> Sample:
    return float(pair[0]), float(pair[1])

"""The real programs of the end-to-end tests, with the configuration that users begin with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from . import compose
from .alertmanager import Alertmanager
from .running import HOST, Program, find
from .stores import Prometheus, Store, VictoriaMetrics

__all__ = ["STORES", "Alertmanager", "Collector", "Prometheus", "Stack", "Store", "VictoriaMetrics"]

STORES = ("prometheus_scraping", "prometheus_otlp", "victoria_metrics")
"""Names of a `Stack`'s stores: one for each way from its Collector."""
_SPANS_TO_FILE = Path(__file__).parent / "collector" / "spans-to-file.yaml"


class Collector(Program):
    """The OpenTelemetry Collector. It exports metrics on all paths that `ways` names."""

    executable = "otelcol-gluellm"
    health_path = "/"
    port_names = ("health", "grpc", "http", "scrape", "telemetry")

    def __init__(self, name: str, folder: Path, stack: Stack) -> None:
        super().__init__(name, folder)
        self.ways: tuple[str, ...] = compose.WAYS
        """Names of configuration files, as in ``METRICS_WAY``."""
        self.overlays: list[Path] = [_SPANS_TO_FILE]
        """More configuration files, for single tests."""
        self.variables: dict[str, str] = {}
        """More environment variables, for `overlays`."""
        self._stack = stack
        self._spans = self.folder / "spans.jsonl"

    def command(self, executable: Path) -> list[str]:
        folder = compose.DEV / "collector"
        files = [folder / "collector.yaml", *(folder / f"{way}.yaml" for way in self.ways)]
        others = [flag for flag in compose.flags("collector") if not flag.startswith("--config=")]
        configurations = [f"--config={file}" for file in (*files, *self.overlays)]
        return [str(executable), *others, *configurations]

    def environment(self) -> dict[str, str]:
        return {
            "HEALTH_LISTEN": f"{HOST}:{self.ports['health']}",
            "OTLP_GRPC_LISTEN": f"{HOST}:{self.ports['grpc']}",
            "OTLP_HTTP_LISTEN": f"{HOST}:{self.ports['http']}",
            "SCRAPE_LISTEN": f"{HOST}:{self.ports['scrape']}",
            "TELEMETRY_HOST": HOST,
            "TELEMETRY_PORT": str(self.ports["telemetry"]),
            "PROMETHEUS_OTLP_ENDPOINT": self._stack.prometheus_otlp.otlp_endpoint,
            "VICTORIA_METRICS_OTLP_ENDPOINT": self._stack.victoria_metrics.otlp_endpoint,
            "SPANS_FILE": str(self._spans),
            **self.variables,
        }

    @property
    def grpc_endpoint(self) -> str:
        """Value of ``OTEL_EXPORTER_OTLP_ENDPOINT`` for the protocol ``grpc``."""
        return f"http://{HOST}:{self.ports['grpc']}"

    @property
    def http_endpoint(self) -> str:
        """Value of ``OTEL_EXPORTER_OTLP_ENDPOINT`` for the protocol ``http/protobuf``."""
        return f"http://{HOST}:{self.ports['http']}"

    @property
    def scrape_url(self) -> str:
        """Page of its Prometheus exporter."""
        return f"http://{HOST}:{self.ports['scrape']}/metrics"

    def spans(self) -> list[dict[str, Any]]:
        """Return the stored spans as OTLP JSON, each with its ``resource`` and ``scope`` added."""
        found = []
        for batch in _complete_lines(self._spans):
            for resource in batch["resourceSpans"]:
                for scope in resource["scopeSpans"]:
                    about = {"resource": resource["resource"], "scope": scope.get("scope", {})}
                    found.extend({**span, **about} for span in scope["spans"])
        return found


class Stack:
    """A Collector and the stores that it can send to, each on free ports.

    One Prometheus server scrapes the Collector, the other one receives OTLP.
    """

    def __init__(self, folder: Path) -> None:
        self.prometheus_scraping = Prometheus("prometheus_scraping", folder)
        self.prometheus_otlp = Prometheus("prometheus_otlp", folder)
        self.victoria_metrics = VictoriaMetrics("victoria_metrics", folder)
        self.collector = Collector("collector", folder, self)

    @property
    def programs(self) -> tuple[Program, ...]:
        """All programs. The Collector is last, since it needs the others' ports."""
        return (*(getattr(self, name) for name in STORES), self.collector)

    def start(self, *names: str) -> None:
        """Start programs by their attributes' names, or all of them, and wait until they are ready.

        The Collector exports metrics to the stores that are started with it.
        """
        chosen = [program for program in self.programs if not names or program.name in names]
        assert len(chosen) == (len(names) or len(self.programs)), f"unknown program in {names}"
        for program in chosen:
            find(program.executable)
        if self.collector in chosen:
            stores = dict(zip(compose.WAYS, self.programs, strict=False))
            self.collector.ways = tuple(way for way, store in stores.items() if store in chosen)
        for program in chosen:
            program.start()
        if self.prometheus_scraping in chosen and self.collector in chosen:
            self.prometheus_scraping.scrape("collector", self.collector.ports["scrape"])

    def stop(self) -> None:
        """Stop the running programs, the Collector first."""
        for program in reversed(self.programs):
            program.stop()


def _complete_lines(file: Path) -> list[Any]:
    if not file.exists():
        return []
    lines = file.read_text().split("\n")
    return [json.loads(line) for line in lines[:-1] if line]

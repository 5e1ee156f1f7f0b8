"""Every place where something of a request could come out of the instrumentation, as text."""

from __future__ import annotations

import collections
import gc
import io
import json
import logging
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, generate_latest

from opentelemetry.instrumentation import gluellm
from opentelemetry.instrumentation.gluellm import diagnose, snapshot
from opentelemetry.instrumentation.gluellm.diagnosis.report import report_on
from support.telemetry import Telemetry

PACKAGE = gluellm.__name__
_CONTAINERS = (dict, list, tuple, set, frozenset, collections.deque)
_OF_LOGGING = frozenset({"threadName", "taskName", "processName"})
"""What logging itself notes of whoever logs, and no record of ours tells."""


class BothReaders(Telemetry):
    """Telemetry with a scrape endpoint's reader beside."""

    def __init__(self) -> None:
        super().__init__()
        self.reader = InMemoryMetricReader()
        self._scraped = PrometheusMetricReader()
        self.registry = CollectorRegistry()
        self.registry.register(self._scraped._collector)
        self.meter_provider = MeterProvider(
            metric_readers=[self.reader, self._scraped], shutdown_on_exit=False
        )

    def exposition(self) -> str:
        """What Prometheus would get."""
        return generate_latest(self.registry).decode()


class Ears(logging.Handler):
    """Keeps every record of the package's loggers, at every level."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []
        self.lines = io.StringIO()
        self._formatter = logging.Formatter("%(levelname)s %(name)s %(message)s")

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self.lines.write(self._formatter.format(record) + "\n")

    def __enter__(self) -> Self:
        self._logger = logging.getLogger(PACKAGE)
        self._level = self._logger.level
        self._logger.setLevel(logging.DEBUG)
        self._logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)
        self._logger.setLevel(self._level)


@dataclass
class Places:
    """What was looked at, by place."""

    telemetry: BothReaders
    ears: Ears
    warned: list[warnings.WarningMessage] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    _previous: Any = None

    def look(self) -> None:
        """Take everything that there is at this moment, while requests are under way or not."""
        now = snapshot()
        findings = diagnose(now, self._previous)
        report = report_on(now, self._previous)
        self._previous = now
        self._add("snapshot as text", str(now))
        self._add("snapshot's repr", repr(now))
        self._add("snapshot as JSON", json.dumps(now.to_dict(), ensure_ascii=False))
        self._add("findings as text", "\n".join(map(str, findings)))
        self._add("findings' repr", repr(findings))
        self._add("findings as JSON", json.dumps([f.to_dict() for f in findings]))
        self._add("report as text", str(report))
        self._add("report as JSON", json.dumps(report.to_dict(), ensure_ascii=False))
        self._add("what the package keeps", "\n".join(kept_texts()))
        self._add_telemetry()
        self._add_logs()
        self._add("warnings", "\n".join(str(warning.message) for warning in self.warned))

    def add(self, place: str, text: str) -> None:
        """Something else that came out."""
        self._add(place, text)

    def _add(self, place: str, text: str) -> None:
        self.texts[place] = self.texts.get(place, "") + "\n" + text

    def _add_telemetry(self) -> None:
        data = self.telemetry.reader.get_metrics_data()
        assert data is not None
        self._add("metrics", data.to_json())
        self._add("exemplars", repr(list(_exemplars(data))))
        wire = encode_metrics(data).SerializeToString()
        self._add("metrics in OTLP", wire.decode("utf-8", "replace"))
        self._add("metrics in Prometheus", self.telemetry.exposition())
        spans = self.telemetry.spans()
        self._add("spans", "\n".join(span.to_json() or "" for span in spans))
        for span in spans:
            assert span.events == (), "no span of ours has events"
            assert span.status.description is None
            self._add(
                "links of spans", repr([(link.context, link.attributes) for link in span.links])
            )
        if spans:
            wire = encode_spans(spans).SerializeToString()
            self._add("spans in OTLP", wire.decode("utf-8", "replace"))

    def _add_logs(self) -> None:
        self._add("log", self.ears.lines.getvalue())
        formatter = logging.Formatter()
        for record in self.ears.records:
            self._add("log records with exceptions and stacks", formatter.format(record))
            parts = {k: v for k, v in vars(record).items() if k not in _OF_LOGGING}
            self._add("log records' parts", repr(parts))


def _exemplars(data: Any) -> Iterator[Any]:
    for resource in data.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    yield from getattr(point, "exemplars", ())


def kept_texts() -> Iterator[str]:
    """Each text in the package's own objects and containers, and the repr of each such object.

    Not in the objects of others: a pool knows its URL, and it is the application's.
    """
    roots = [
        value
        for name, module in tuple(sys.modules.items())
        if name.startswith(PACKAGE) and ".cli" not in name
        for value in vars(module).values()
    ]
    seen: set[int] = set()
    pending: list[Any] = roots
    while pending:
        found = pending.pop()
        if id(found) in seen:
            continue
        seen.add(id(found))
        if isinstance(found, str):
            yield found
        elif isinstance(found, bytes):
            yield found.decode("latin-1")
        elif type(found) in _CONTAINERS:
            pending += gc.get_referents(found)
        elif type(found).__module__.startswith(PACKAGE):
            yield repr(found)
            pending += gc.get_referents(found)
        elif isinstance(found, type) and found.__module__.startswith(PACKAGE):
            pending += list(vars(found).values())

"""Secrets to plant in requests, and all output of the instrumentation that could contain them."""

import base64
import collections
import gc
import io
import json
import logging
import secrets
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import quote

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, generate_latest

from gluellm_diagnosis.report import report_on
from opentelemetry.instrumentation import gluellm
from opentelemetry.instrumentation.gluellm import diagnose, snapshot
from support.telemetry import Telemetry, points_of

_HALF = 10


class Canaries:
    """Unique tokens, each with the place at which it was planted."""

    def __init__(self) -> None:
        self.planted: dict[str, str] = {}
        """The tokens, by place."""
        self._forms: list[tuple[str, str, str]] = []

    def plant(self, place: str) -> str:
        """Return a token for a place: in lower case, as hosts are, and valid in header names."""
        if place not in self.planted:
            token = "q" + secrets.token_hex(11)
            self.planted[place] = token
            self._forms += [(place, form, text) for form, text in _forms(token)]
        return self.planted[place]

    def found_in(self, text: str) -> list[tuple[str, str]]:
        """Return the canaries in a text: the place of each, and its form with text around it."""
        lower = text.lower()
        found = []
        for place, form, wanted in self._forms:
            within = text if form.startswith("base64") else lower
            at = within.find(wanted)
            if at >= 0:
                around = text[max(at - 80, 0) : at + 80]
                found.append((place, f"{place} ({form}) in ...{around!r}..."))
        return found


def _forms(token: str) -> Iterator[tuple[str, str]]:
    # Search for halves, since texts may be shortened.
    yield "as it is, its beginning", token[:_HALF]
    yield "as it is, its end", token[-_HALF:]
    yield "backslash escapes", "".join(f"\\u{ord(letter):04x}" for letter in token[:_HALF])
    yield "backslash escapes of bytes", "".join(f"\\x{ord(letter):02x}" for letter in token[:_HALF])
    yield "percents", "".join(f"%{ord(letter):02x}" for letter in token[:_HALF])
    yield "hexadecimal", token[:_HALF].encode().hex()
    for before in range(3):
        # In a longer text, it can begin at any of three offsets within a base64 group.
        whole = base64.b64encode(b"\0" * before + token.encode()).decode()
        yield f"base64 from {before}", whole[4 if before else 0 :][: _HALF + 2]


def encoded(token: str) -> dict[str, str]:
    """Return the forms in which a token is planted."""
    return {
        "plain": token,
        "basic": base64.b64encode(f"user:{token}".encode()).decode(),
        "percents": "".join(f"%{ord(letter):02X}" for letter in token),
        "quoted": quote(f"/{token} &", safe=""),
        "json": json.dumps({"key": token}),
    }


PACKAGE = gluellm.__name__
_CONTAINERS = (dict, list, tuple, set, frozenset, collections.deque)
_ALLOWED = {
    # The SDK gives each span the tracestate of its parent, for samplers. The package keeps the
    # context for the spans and exemplars of a request.
    "tracestate": ("spans", "what the package keeps"),
    # docs/when-calls-hang.md: "A warning names the pool, provider, model, trace, GlueLLM's
    # correlation id and the line of your code that made the call."
    "GlueLLM's correlation id": ("log", "snapshot", "report", "what the package keeps", "notes"),
    # docs/metrics.md: "Model passed to any-llm ... On metrics only with `model_attributes=True`."
    "a model's name": (
        *("log", "snapshot", "findings", "report", "what the package keeps", "notes", "spans"),
    ),
}
"""Documented exceptions: the canary's place, and prefixes of the outputs that may contain it."""
_OF_LOGGING = frozenset({"threadName", "taskName", "processName"})
"""Attributes that logging adds to records, and which the package does not log."""


class BothReaders(Telemetry):
    """Telemetry with an additional reader, for Prometheus."""

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
        """Return the metrics page that Prometheus would scrape."""
        return generate_latest(self.registry).decode()


class LogCapture(logging.Handler):
    """Keep all records of the package's loggers, of every level."""

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
    """All output of the instrumentation, by name."""

    telemetry: BothReaders
    capture: LogCapture
    canaries: Canaries
    warned: list[warnings.WarningMessage] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    _previous: Any = None

    def look(self) -> None:
        """Collect the current output."""
        now = snapshot()
        findings = diagnose(now, self._previous)
        report = report_on(now, self._previous)
        self._previous = now
        self.add("snapshot as text", str(now))
        self.add("snapshot's repr", repr(now))
        self.add("snapshot as JSON", json.dumps(now.to_dict(), ensure_ascii=False))
        self.add("findings as text", "\n".join(map(str, findings)))
        self.add("findings' repr", repr(findings))
        self.add("findings as JSON", json.dumps([f.to_dict() for f in findings]))
        self.add("report as text", str(report))
        self.add("report as JSON", json.dumps(report.to_dict(), ensure_ascii=False))
        self.add("what the package keeps", "\n".join(kept_texts()))
        self._add_telemetry()
        self._add_logs()
        self.add("warnings", "\n".join(str(warning.message) for warning in self.warned))

    def plant(self, place: str) -> str:
        """Return a canary for a place."""
        return self.canaries.plant(place)

    def assert_no_canary(self) -> None:
        """Collect once more, and assert that only documented output has a canary."""
        self.look()
        found = [
            f"{where}: {what}"
            for where, text in self.texts.items()
            for planted, what in self.canaries.found_in(text)
            if not where.startswith(_ALLOWED.get(planted, ("nowhere",)))
        ]
        assert not found, "\n".join(found)

    def add(self, place: str, text: str) -> None:
        """Add text to an output."""
        self.texts[place] = self.texts.get(place, "") + "\n" + text

    def _add_telemetry(self) -> None:
        data = self.telemetry.reader.get_metrics_data()
        assert data is not None
        self.add("metrics", data.to_json())
        points = (point for points in points_of(data).values() for point in points)
        self.add("exemplars", repr([getattr(point, "exemplars", ()) for point in points]))
        wire = encode_metrics(data).SerializeToString()
        self.add("metrics in OTLP", wire.decode("utf-8", "replace"))
        self.add("metrics in Prometheus", self.telemetry.exposition())
        spans = self.telemetry.spans()
        self.add("spans", "\n".join(span.to_json() or "" for span in spans))
        for span in spans:
            assert span.events == (), "the package's spans have no events"
            assert span.status.description is None
            self.add(
                "links of spans", repr([(link.context, link.attributes) for link in span.links])
            )
        if spans:
            wire = encode_spans(spans).SerializeToString()
            self.add("spans in OTLP", wire.decode("utf-8", "replace"))

    def _add_logs(self) -> None:
        self.add("log", self.capture.lines.getvalue())
        formatter = logging.Formatter()
        for record in self.capture.records:
            self.add("log records with exceptions and stacks", formatter.format(record))
            parts = {k: v for k, v in vars(record).items() if k not in _OF_LOGGING}
            self.add("log records' parts", repr(parts))


def kept_texts() -> Iterator[str]:
    """Yield all texts in the package's objects and containers, and the repr of each object.

    Objects of others are excluded: a pool has its URL, but belongs to the application.
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

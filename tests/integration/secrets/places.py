"""Secrets to plant, and every place where something of a request could come out, as text."""

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

from opentelemetry.instrumentation import gluellm
from opentelemetry.instrumentation.gluellm import diagnose, snapshot
from opentelemetry.instrumentation.gluellm.diagnosis.report import report_on
from support.telemetry import Telemetry, points_of

_HALF = 10


class Canaries:
    """Tokens that stand nowhere else, each with the place that it was planted at."""

    def __init__(self) -> None:
        self.planted: dict[str, str] = {}
        """The tokens, by place."""
        self._forms: list[tuple[str, str, str]] = []

    def plant(self, place: str) -> str:
        """A token for a place: lower case, as hosts are told, and fit for a header's name."""
        if place not in self.planted:
            token = "q" + secrets.token_hex(11)
            self.planted[place] = token
            self._forms += [(place, form, text) for form, text in _forms(token)]
        return self.planted[place]

    def found_in(self, text: str) -> list[tuple[str, str]]:
        """The canaries in a text: the place of each, and its form with what stands around it."""
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
    # A half is enough: what shortens texts may have cut the rest off.
    yield "as it is, its beginning", token[:_HALF]
    yield "as it is, its end", token[-_HALF:]
    yield "backslash escapes", "".join(f"\\u{ord(letter):04x}" for letter in token[:_HALF])
    yield "backslash escapes of bytes", "".join(f"\\x{ord(letter):02x}" for letter in token[:_HALF])
    yield "percents", "".join(f"%{ord(letter):02x}" for letter in token[:_HALF])
    yield "hexadecimal", token[:_HALF].encode().hex()
    for before in range(3):
        # As a part of a longer text, which begins it at any of three places of a group of four.
        whole = base64.b64encode(b"\0" * before + token.encode()).decode()
        yield f"base64 from {before}", whole[4 if before else 0 :][: _HALF + 2]


def dressed(token: str) -> dict[str, str]:
    """The forms in which a token is planted, where more than the plain one goes."""
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
    # A span is its trace's, and the SDK gives each span the tracestate of its parent: samplers rest
    # on it. What is kept is the context that the spans and exemplars of a request get.
    "tracestate": ("spans", "what the package keeps"),
    # docs/when-calls-hang.md: "A warning names the pool, provider, model, trace, GlueLLM's
    # correlation id and the line of your code that made the call."
    "GlueLLM's correlation id": ("log", "snapshot", "report", "what the package keeps", "notes"),
    # docs/metrics.md: "Model passed to any-llm ... On metrics only with `model_attributes=True`."
    "a model's name": (
        *("log", "snapshot", "findings", "report", "what the package keeps", "notes", "spans"),
    ),
}
"""Where the docs let something out: the canary's place, and the beginnings of where it may be."""
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
    canaries: Canaries
    warned: list[warnings.WarningMessage] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    _previous: Any = None

    def look(self) -> None:
        """Take everything that there is at this moment, while requests are under way or not."""
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
        """A canary."""
        return self.canaries.plant(place)

    def assert_no_canary(self) -> None:
        """After another look: none anywhere but where the docs let it out."""
        self.look()
        found = [
            f"{where}: {what}"
            for where, text in self.texts.items()
            for planted, what in self.canaries.found_in(text)
            if not where.startswith(_ALLOWED.get(planted, ("nowhere",)))
        ]
        assert not found, "\n".join(found)

    def add(self, place: str, text: str) -> None:
        """Something that came out."""
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
            assert span.events == (), "no span of ours has events"
            assert span.status.description is None
            self.add(
                "links of spans", repr([(link.context, link.attributes) for link in span.links])
            )
        if spans:
            wire = encode_spans(spans).SerializeToString()
            self.add("spans in OTLP", wire.decode("utf-8", "replace"))

    def _add_logs(self) -> None:
        self.add("log", self.ears.lines.getvalue())
        formatter = logging.Formatter()
        for record in self.ears.records:
            self.add("log records with exceptions and stacks", formatter.format(record))
            parts = {k: v for k, v in vars(record).items() if k not in _OF_LOGGING}
            self.add("log records' parts", repr(parts))


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

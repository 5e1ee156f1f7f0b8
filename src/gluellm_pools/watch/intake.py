"""What becomes of a decoded request: points for the processes, log lines, or only a count."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import ResourceMetrics, ScopeMetrics

from opentelemetry.instrumentation.gluellm.telemetry.semconv import SCOPE_NAME

from ..text import printable, printable_ends
from ..view import METRICS
from .limits import LOG_CHARACTERS, LOG_LINES, NAME_CHARACTERS, PROCESSES
from .points import Point, SeriesKey, UnfitPointError, digest_of, points_of, text_of
from .processes import Identity, Processes

_INFO, _WARN = 9, 13
"""Severity numbers of OTLP."""
_STEP = 500
"""Points."""
_IDENTIFYING = (
    "service.namespace",
    "service.name",
    "service.instance.id",
    "host.name",
    "process.pid",
)


@dataclass(slots=True)
class Rejected:
    """What of a request was not taken, for the answer's partial success."""

    number: int = 0
    reason: str = ""
    """Of the first."""

    def add(self, number: int, reason: str) -> None:
        self.number += number
        self.reason = self.reason or reason


@dataclass(slots=True)
class Intake:
    """Takes requests in, one after the other."""

    processes: Processes
    spans: int = 0
    """Received, and not shown."""
    foreign_records: int = 0
    """Log records of others, received and not shown."""
    logs: deque[str] = field(default_factory=lambda: deque(maxlen=LOG_LINES))
    """What the instrumentation of a process logged, printable; the reader takes lines away."""

    def take(self, request: Message) -> Rejected:
        """Take the request; what could not be taken of it."""
        rejected = Rejected()
        for _ in self.steps(request, rejected):
            pass
        return rejected

    def steps(self, request: Message, rejected: Rejected) -> Iterator[None]:
        """The same in steps of some milliseconds: the largest request takes seconds."""
        if isinstance(request, ExportMetricsServiceRequest):
            for resource in request.resource_metrics:
                yield
                yield from self._metrics(resource, rejected)
        elif isinstance(request, ExportLogsServiceRequest):
            self._logs(request)
        elif isinstance(request, ExportTraceServiceRequest):
            self.spans += sum(
                len(scope.spans) for rs in request.resource_spans for scope in rs.scope_spans
            )

    def _metrics(self, resource: ResourceMetrics, rejected: Rejected) -> Iterator[None]:
        ours = [scope for scope in resource.scope_metrics if scope.scope.name == SCOPE_NAME]
        identity = identity_of(resource.resource.attributes)
        process = self.processes.of(identity, ours=bool(ours))
        found: list[tuple[SeriesKey, Point]] = []
        for number, item in enumerate(_points(ours), 1):
            if isinstance(item, UnfitPointError):
                rejected.add(1, str(item))
            else:
                found.append(item)
            if number % _STEP == 0:
                yield
        if process is None:
            rejected.add(
                len(found), f"metrics of {PROCESSES} processes are watched already, and no more"
            )
            return
        for scope in resource.scope_metrics:
            if scope.scope.name != SCOPE_NAME:
                process.scope_seen(printable(scope.scope.name, NAME_CHARACTERS) or "(no name)")
        if ours:
            process.collection_begins(max((point.time for _, point in found), default=0))
            for number, item in enumerate(found, 1):
                try:
                    self.processes.take(process, *item)
                except UnfitPointError as error:
                    rejected.add(1, str(error))
                if number % _STEP == 0:
                    yield

    def _logs(self, request: ExportLogsServiceRequest) -> None:
        for resource in request.resource_logs:
            service = identity_of(resource.resource.attributes).service
            for scope in resource.scope_logs:
                if scope.scope.name != SCOPE_NAME:
                    self.foreign_records += len(scope.log_records)
                    continue
                for record in scope.log_records[-LOG_LINES:]:
                    if record.severity_number >= _INFO:
                        level = "WARNING" if record.severity_number >= _WARN else "INFO"
                        text = printable(record.body.string_value, LOG_CHARACTERS)
                        self.logs.append(f"{level} from {service}: {text}")


def _points(
    scopes: Iterable[ScopeMetrics],
) -> Iterator[tuple[SeriesKey, Point] | UnfitPointError]:
    for scope in scopes:
        for metric in scope.metrics:
            if metric.name in METRICS:
                yield from points_of(metric)


def identity_of(attributes: Iterable[KeyValue]) -> Identity:
    """From a resource's attributes, as the semantic conventions name them."""
    found = dict.fromkeys(_IDENTIFYING, "")
    for pair in attributes:
        if pair.key in found:
            found[pair.key] = text_of(pair)
    namespace, service, instance, host, pid = (found[key] for key in _IDENTIFYING)
    service = service or "unknown_service"
    if not instance and pid:
        instance = f"{host}:{pid}" if host else f"pid {pid}"
    digest = digest_of(part.encode("utf-8", "replace") for part in (namespace, service, instance))
    service = printable_ends(service, NAME_CHARACTERS)
    if namespace:
        service = f"{printable_ends(namespace, NAME_CHARACTERS)}/{service}"
    return Identity(service, printable_ends(instance, NAME_CHARACTERS), digest)

"""What becomes of a request: points of processes, log lines, or only a count."""

from __future__ import annotations

import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any, TypeVar

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from opentelemetry.instrumentation.gluellm.telemetry.semconv import FINDING_KIND, SCOPE_NAME

from ..text import printable
from ..view import METRICS, logged_evidence, logged_subject
from . import limits
from .points import (
    Point,
    SeriesKey,
    UnfitPointError,
    attribute_text,
    distinct_name,
    point_of,
    series_of,
)
from .processes import Identity, Processes

REQUESTS: dict[str, Any] = {
    "metrics": ExportMetricsServiceRequest,
    "traces": ExportTraceServiceRequest,
    "logs": ExportLogsServiceRequest,
}
"""Messages by signal, as in the path."""
_INFO, _WARN = 9, 13
"""Severity numbers of OTLP."""
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_Items = TypeVar("_Items", bound=Sized)


class ExportError(Exception):
    """A request that is answered with an HTTP status and a message, which are its arguments."""


class Messages:
    """Log records of processes, and problems on the way here, which few programs log."""

    def __init__(self) -> None:
        self._latest: dict[str, str] = {}
        self._unread: deque[str] = deque(maxlen=limits.UNREAD_MESSAGES)

    def add(self, message: str) -> None:
        """Add text that may come from outside. A known message only gets a new time."""
        text, known = printable(message, limits.MESSAGE_CHARACTERS), self._latest
        if text not in known:
            self._unread.append(text)
        others = [item for item in known.items() if item[0] != text]
        # Replaced, not changed: other threads may be reading it.
        self._latest = dict([*others, (text, time.strftime("%H:%M:%S"))][-limits.MESSAGES :])

    def latest(self) -> list[str]:
        """The latest messages with the time of day."""
        return [f"{at} {text}" for text, at in self._latest.items()]

    def unread(self) -> list[str]:
        """Messages that are new since the last call."""
        return [self._unread.popleft() for _ in range(len(self._unread))]


class Intake:
    """Takes one request at a time, from any thread. Readers hold `lock`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.lock = threading.Lock()
        self.processes = Processes(clock)
        self.messages = Messages()
        self.not_shown: set[str] = set()
        """What was received besides."""
        self._parts = 0

    def take(self, signal: str, body: bytes | bytearray, encoding: str = "identity") -> list[str]:
        """Take a body; the reasons for rejected points. Raises ExportError."""
        rejected: list[str] = []
        with self.lock:
            self._parts = 0
            request = _decoded(signal, _decompressed(body, encoding))
            if signal == "metrics":
                for resource in self._counted(request.resource_metrics, limits.RESOURCES):
                    self._take_metrics(resource, rejected)
            elif signal == "logs":
                for resource in self._counted(request.resource_logs, limits.RESOURCES):
                    self._take_logs(resource)
            else:
                self.not_shown.add("spans")
        return rejected

    def _counted(self, items: _Items, most: int = limits.PARTS) -> _Items:
        """The items, unless the request has too many. Raises ExportError."""
        self._parts += len(items)
        if len(items) > most or self._parts > limits.PARTS:
            raise ExportError(413, "the request has too many parts, export less at once")
        return items

    def _take_metrics(self, resource: Any, rejected: list[str]) -> None:
        scopes = self._counted(resource.scope_metrics)
        own = [scope for scope in scopes if scope.scope.name == SCOPE_NAME]
        identity = sender_of(self._counted(resource.resource.attributes))
        process = self.processes.of(identity)
        points = list(self._points(own, rejected))
        if process is None:
            rejected += [f"more than {limits.PROCESSES} processes export here"] * len(points)
            return
        for scope in scopes:
            if scope.scope.name != SCOPE_NAME:
                name = printable(scope.scope.name, limits.NAME_CHARACTERS)
                process.scopes |= {name} if len(process.scopes) < limits.SCOPES else set()
        if own:
            process.begin_collection(max((point.time for _, point in points), default=0))
        for key, point in points:
            try:
                self.processes.take(process, key, point)
            except UnfitPointError as error:
                rejected.append(str(error))

    def _points(
        self, scopes: Iterable[Any], rejected: list[str]
    ) -> Iterator[tuple[SeriesKey, Point]]:
        for scope in scopes:
            for metric in self._counted(scope.metrics):
                kind = metric.WhichOneof("data")
                if metric.name not in METRICS or kind is None:
                    continue
                for raw in self._counted(getattr(metric, kind).data_points):
                    self._counted(raw.attributes)
                    try:
                        yield (metric.name, series_of(raw)), point_of(metric, kind, raw)
                    except UnfitPointError as error:
                        rejected.append(f"{metric.name}: {error}")

    def _take_logs(self, resource: Any) -> None:
        identity = sender_of(self._counted(resource.resource.attributes))
        process = self.processes.get(identity)
        for scope in self._counted(resource.scope_logs):
            if scope.scope.name != SCOPE_NAME:
                self.not_shown.add("log records of other scopes")
                continue
            for record in scope.log_records[-limits.UNREAD_MESSAGES :]:
                level = "WARNING" if record.severity_number >= _WARN else "INFO"
                text = record.body.string_value
                if record.severity_number >= _INFO:
                    self.messages.add(f"{level} from {identity[0]}: {_one_line(text)}")
                found = attributes_of(self._counted(record.attributes))
                if process is not None and FINDING_KIND in found and level == "WARNING":
                    evidence = printable(logged_evidence(text), limits.MESSAGE_CHARACTERS)
                    process.take_text(logged_subject(found), found[FINDING_KIND], evidence)


def _one_line(text: str) -> str:
    """Return a log record's text as one line; of a report, only its worst finding."""
    first, _, rest = text.partition("\n")
    if first.startswith("Finding (") and rest:
        return " ".join(rest.split())  # it begins with what the first line has
    head, _, report = text.partition(":\n")
    if head.startswith("Report on ") and report:
        first = report.split("\n", 1)[0]
        return f"{head}: {first} (the whole report is in its log)"
    return " ".join(text.split())


def _decompressed(body: bytes | bytearray, encoding: str) -> bytes:
    """The body, never expanded beyond its limit. Raises ExportError."""
    if encoding == "identity":
        return bytes(body)
    inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        whole = inflater.decompress(body, limits.BODY_BYTES + 1)
    except zlib.error as error:
        raise ExportError(400, f"the body is not gzip or deflate: {error}") from None
    if len(whole) > limits.BODY_BYTES:
        raise ExportError(413, f"the body expands to more than {limits.BODY_BYTES} bytes")
    if not inflater.eof or inflater.unused_data:
        raise ExportError(400, "the compressed body is truncated, or goes on after its end")
    return whole


def _decoded(signal: str, body: bytes) -> Any:
    try:
        return REQUESTS[signal].FromString(body)
    except (DecodeError, UnicodeDecodeError):  # the latter from protobuf in pure Python
        name = REQUESTS[signal].DESCRIPTOR.name
        raise ExportError(400, f"the body is not a protobuf {name}, or is truncated") from None


def attributes_of(attributes: Iterable[KeyValue]) -> dict[str, str]:
    """The attributes with their values as printable text."""
    return {pair.key: distinct_name(attribute_text(pair)) for pair in attributes}


def sender_of(attributes: Iterable[KeyValue]) -> Identity:
    """The process, from its resource's attributes."""
    found = attributes_of(attributes)
    service = found.get("service.name") or "unknown_service"
    if namespace := found.get("service.namespace"):
        service = f"{namespace}/{service}"
    pid, host = found.get("process.pid", ""), found.get("host.name", "")
    return service, found.get("service.instance.id") or ":".join(filter(None, (host, pid)))

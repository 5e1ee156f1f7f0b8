"""The parts of a watch, without a network."""

import io

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from gluellm_pools.screens import Terminal
from gluellm_pools.watch.display import LineDisplay, LiveDisplay, ProcessReport, reports_of
from gluellm_pools.watch.intake import Intake
from gluellm_pools.watch.processes import Process
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.otlp import LATER, SECOND, metrics_request, number

URL = "http://127.0.0.1:4318"
_SIGNALS = {ExportMetricsServiceRequest: "metrics", ExportLogsServiceRequest: "logs"}


class Watched:
    """An intake and a console, whose clock the test sets."""

    def __init__(self, width: int = 80, height: int = 40, *, terminal: bool = False) -> None:
        self.now = 1000.0
        self.intake = Intake(lambda: self.now)
        self.out = io.StringIO()
        plain = {"color_system": None, "force_terminal": terminal, "legacy_windows": False}
        # On a dumb terminal nothing is redrawn.
        size = {"width": width, "height": height, "_environ": {"TERM": "xterm"}}
        self.console = Terminal(file=self.out, **size, **plain)

    def lines(self) -> LineDisplay:
        return LineDisplay(URL, self.intake, self.console)

    def live(self) -> LiveDisplay:
        return LiveDisplay(URL, self.intake, self.console)

    def take(self, request: Message) -> list[str]:
        """Take a request; return the reasons for rejected points."""
        return self.intake.take(_SIGNALS.get(type(request), "traces"), request.SerializeToString())

    def export(self, *names: str, time: int | None = None, **resource: object) -> None:
        """Export requests of each of these pools."""
        time = LATER + int((self.now - 1000) * SECOND) if time is None else time
        metrics = [number(semconv.REQUESTS, 5, time, gluellm__pool__name=name) for name in names]
        self.take(metrics_request(*metrics, **resource))

    @property
    def process(self) -> Process:
        (only,) = self.intake.processes.values()
        return only

    @property
    def reports(self) -> list[ProcessReport]:
        return reports_of(self.intake.processes.values())

    @property
    def report(self) -> ProcessReport:
        """The report of the only process."""
        (only,) = self.reports
        return only

    def tail(self) -> list[str]:
        """Lines since the last call."""
        text = self.out.getvalue()
        self.out.seek(0)
        self.out.truncate()
        return text.splitlines()

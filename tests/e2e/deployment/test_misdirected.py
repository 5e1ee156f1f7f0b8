"""The messages quoted in docs/deploy.md are those that misdirected exporters log."""

from collections.abc import Iterator

import pytest

from e2e.programs import Prometheus, Stack
from support.exports import PROTOCOL, SIGNAL, lines_of
from support.quotations import assert_quoted_and_said

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
METRICS_ENDPOINT = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"
HTTP = {PROTOCOL: "http/protobuf"}
NOT_FOUND = "Failed to export metrics batch code: 404, reason: Not Found"
SAID = {
    "gRPC to the port of HTTP": (
        "Failed to export metrics to …, error code: StatusCode.UNAVAILABLE, error details: …"
        "Failed parsing HTTP/2"
    ),
    "HTTP to the port of gRPC": (
        "Transient error ('Connection aborted.', …)) encountered while exporting metrics batch"
    ),
    "no path": NOT_FOUND,
    "path twice": NOT_FOUND,
    "receiver not enabled": NOT_FOUND,
    "spans to Prometheus": "Failed to export spans batch code: 404, reason: Not Found",
}


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[str]]]:
    """Lines that each export logged."""
    folder = tmp_path_factory.mktemp("stack")
    stack = Stack(folder)
    closed = Prometheus("closed", folder)
    closed.lacks = ("--web.enable-otlp-receiver",)
    try:
        stack.start("collector", "prometheus_otlp", "victoria_metrics")
        closed.start()
        http, grpc = stack.collector.http_endpoint, stack.collector.grpc_endpoint
        short = {"OTEL_EXPORTER_OTLP_TIMEOUT": "5"}  # these two are retried
        cases = {
            "gRPC to the port of HTTP": {**short, ENDPOINT: http},
            "HTTP to the port of gRPC": {**HTTP, **short, ENDPOINT: grpc},
            "no path": {**HTTP, METRICS_ENDPOINT: http},
            "path twice": {**HTTP, ENDPOINT: f"{http}/v1/metrics"},
            "receiver not enabled": {**HTTP, ENDPOINT: closed.otlp_endpoint},
            "spans to Prometheus": {
                **HTTP,
                SIGNAL: "traces",
                ENDPOINT: stack.prometheus_otlp.otlp_endpoint,
            },
            "gRPC": {ENDPOINT: grpc},
            "HTTP": {**HTTP, ENDPOINT: http},
            "Prometheus": {**HTTP, ENDPOINT: stack.prometheus_otlp.otlp_endpoint},
            "VictoriaMetrics": {**HTTP, ENDPOINT: stack.victoria_metrics.otlp_endpoint},
        }
        yield lines_of(cases)
    finally:
        closed.stop()
        stack.stop()


@pytest.mark.parametrize("case", SAID)
def test_misdirected_export_logs_what_the_page_quotes(
    case: str, logged: dict[str, list[str]]
) -> None:
    """Real programs answer the exports."""
    assert_quoted_and_said(SAID[case], logged[case])


@pytest.mark.parametrize("case", ["gRPC", "HTTP", "Prometheus", "VictoriaMetrics"])
def test_export_to_the_right_address_logs_nothing(case: str, logged: dict[str, list[str]]) -> None:
    """docs/deploy.md gives these addresses."""
    assert logged[case] == []

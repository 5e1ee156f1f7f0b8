"""docs/troubleshooting.md quotes what the exporters say of each misconfiguration."""

from __future__ import annotations

import importlib.util
import shlex

import pytest

from support.exports import PROTOCOL, lines_of
from support.quotations import assert_quoted_and_said

GAVE_UP = "Failed to export metrics batch due to timeout, max retries or shutdown."
UNAVAILABLE = "Failed to export metrics to …, error code: StatusCode.UNAVAILABLE, error details: "


def variables(words: str) -> dict[str, str]:
    """Variables of the exporter, named without their prefix; ``http`` stands for its protocol."""
    pairs = (word.partition("=") for word in shlex.split(words) if word != "http")
    found = {f"OTEL_EXPORTER_OTLP_{name}": value for name, _, value in pairs}
    protocol = {PROTOCOL: "http/protobuf"} if words.startswith("http ") else {}
    return {"OTEL_EXPORTER_OTLP_TIMEOUT": "1.5", **protocol, **found}


SAID = {
    "dead port, HTTP": ("http ENDPOINT=http://{dead}", "[Errno 111] Connection refused"),
    "dead port, in the end": ("http ENDPOINT=http://{dead}", GAVE_UP),
    "dead port, gRPC": (
        "ENDPOINT=http://{dead}",
        UNAVAILABLE + "…Failed to connect to remote host: Connection refused",
    ),
    "misspelled host, HTTP": (
        "http ENDPOINT=http://otel-colector:4318",
        "Failed to resolve 'otel-colector'",
    ),
    "misspelled host, gRPC": (
        "ENDPOINT=http://otel-colector:4317",
        UNAVAILABLE + "errors resolving otel-colector:4317",
    ),
    "no scheme, HTTP": (
        "http ENDPOINT=localhost:4318",
        (
            "Failed to export metrics batch code: None, reason: No connection adapters were "
            "found for 'localhost:4318/v1/metrics'"
        ),
    ),
    "no scheme, gRPC": (
        "ENDPOINT={grpc}",
        UNAVAILABLE + "…Tls handshake failed…WRONG_VERSION_NUMBER",
    ),
    "TLS where there is none, HTTP": (
        "http ENDPOINT=https://{http}",
        "SSLError(1, '[SSL: WRONG_VERSION_NUMBER] wrong version number",
    ),
    "no TLS where it is asked for, HTTP": (
        "http ENDPOINT=http://{https}",
        "RemoteDisconnected('Remote end closed connection without response')",
    ),
    "no TLS where it is asked for, gRPC": (
        "ENDPOINT=http://{grpc_tls}",
        UNAVAILABLE + "…Socket closed",
    ),
    "a certificate of one's own, HTTP": (
        "http ENDPOINT=https://{https}",
        (
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local "
            "issuer certificate"
        ),
    ),
    "a certificate of one's own, gRPC": (
        "ENDPOINT=https://{grpc_tls}",
        UNAVAILABLE + "…CERTIFICATE_VERIFY_FAILED: unable to get local issuer certificate",
    ),
    "no such certificate, HTTP": (
        "http ENDPOINT=https://{https} CERTIFICATE=/no/such/file",
        (
            "Failed to export metrics batch code: None, reason: Could not find a suitable TLS CA "
            "certificate bundle, invalid path: …"
        ),
    ),
    "no such certificate, gRPC": (
        "ENDPOINT=https://{grpc_tls} CERTIFICATE=/no/such/file",
        "Failed to read file: …. Please check if the file exists and is accessible.",
    ),
    "gRPC to a port that speaks HTTP": (
        "ENDPOINT=http://{http}",
        UNAVAILABLE + "…Failed parsing HTTP/2",
    ),
    "wrong path": (
        "http METRICS_ENDPOINT=http://{http}",
        "Failed to export metrics batch code: 404, reason: Not Found",
    ),
    "path twice": (
        "http ENDPOINT=http://{http}/api/v1/metrics",
        "Failed to export metrics batch code: 404, reason: Not Found",
    ),
    "401": (
        "http ENDPOINT=http://{http} HEADERS=answer=401",
        "Failed to export metrics batch code: 401, reason: Unauthorized",
    ),
    "403": (
        "http ENDPOINT=http://{http} HEADERS=answer=403",
        "Failed to export metrics batch code: 403, reason: Forbidden",
    ),
    "unauthenticated": (
        "ENDPOINT=http://{grpc} HEADERS=answer=UNAUTHENTICATED",
        "error code: StatusCode.UNAUTHENTICATED",
    ),
    "permission denied": (
        "ENDPOINT=http://{grpc} HEADERS=answer=PERMISSION_DENIED",
        "error code: StatusCode.PERMISSION_DENIED",
    ),
    "429": (
        "http ENDPOINT=http://{http} HEADERS=answer=429",
        "Transient error Too Many Requests encountered while exporting metrics batch",
    ),
    "429, gRPC": (
        "ENDPOINT=http://{grpc} HEADERS=answer=RESOURCE_EXHAUSTED",
        (
            "Transient error StatusCode.RESOURCE_EXHAUSTED encountered while exporting metrics "
            "to …, retrying in …s."
        ),
    ),
    "header with a colon": (
        "http ENDPOINT=http://{http} HEADERS='authorization: Bearer secret'",
        "Header format invalid! Header values in environment variables must be URL encoded",
    ),
    "compression, HTTP": (
        "http ENDPOINT=http://{http} COMPRESSION=zstd",
        "Unsupported compression type: zstd",
    ),
    "compression, gRPC": (
        "ENDPOINT=http://{grpc} COMPRESSION=none",
        (
            'InvalidCompressionValueException: Invalid value "none" for compression envvar '
            "OTEL_EXPORTER_OTLP_COMPRESSION"
        ),
    ),
    "timeout with a unit, HTTP": (
        "http ENDPOINT=http://{http} TIMEOUT=2s",
        "Invalid timeout value '2s', using default of 10 seconds",
    ),
    "timeout with a unit, gRPC": (
        "ENDPOINT=http://{grpc} TIMEOUT=2s",
        "ValueError: could not convert string to float: '2s'",
    ),
    "temporality, HTTP": (
        "http ENDPOINT=http://{http} METRICS_TEMPORALITY_PREFERENCE=deltas",
        (
            "Invalid value for OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE: DELTAS, using "
            "cumulative temporality aggregation"
        ),
    ),
    "temporality, gRPC": (
        "ENDPOINT=http://{grpc} METRICS_TEMPORALITY_PREFERENCE=deltas",
        (
            "Unrecognized OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE value found: DELTAS, "
            "using CUMULATIVE"
        ),
    ),
}
SILENT = {
    "HTTP": "http ENDPOINT=http://{http}",
    "HTTP, the whole address of metrics": "http METRICS_ENDPOINT=http://{http}/v1/metrics",
    "HTTP, gzip": "http ENDPOINT=http://{http} COMPRESSION=gzip",
    "HTTP, a key": "http ENDPOINT=http://{http} HEADERS=authorization=Bearer%20secret",
    "HTTPS": "http ENDPOINT=https://{https} CERTIFICATE={authority}",
    "gRPC": "ENDPOINT=http://{grpc}",
    "gRPC, no scheme": "ENDPOINT={grpc} INSECURE=true",
    "gRPC, a path that is left out": "ENDPOINT=http://{grpc}/v1/metrics",
    "gRPC, gzip": "ENDPOINT=http://{grpc} COMPRESSION=gzip",
    "gRPC, TLS": "ENDPOINT=https://{grpc_tls} CERTIFICATE={authority}",
    # Not right, and nothing is logged: the exporter follows to a page, which answers.
    "redirected": "http ENDPOINT=http://{http} HEADERS=answer=302",
}

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("opentelemetry.exporter.otlp.proto.grpc") is None,
    reason="needs opentelemetry-exporter-otlp",
)


@pytest.fixture(scope="module")
def told() -> dict[str, list[str]]:
    """What each case logged; a second and a half is enough for one more try."""
    cases = {**{case: words for case, (words, _) in SAID.items()}, **SILENT}
    return lines_of({case: variables(words) for case, words in cases.items()})


@pytest.mark.parametrize("case", SAID)
def test_misconfiguration_says_what_the_page_quotes(case: str, told: dict[str, list[str]]) -> None:
    """The line that a reader looks for."""
    assert_quoted_and_said(SAID[case][1], told[case])


@pytest.mark.parametrize("case", SILENT)
def test_a_configuration_that_exports_logs_nothing(case: str, told: dict[str, list[str]]) -> None:
    assert told[case] == []


def test_another_bundle_wins_over_the_certificate() -> None:
    """The HTTP exporter's library reads REQUESTS_CA_BUNDLE, and then not what OTLP names."""
    certifi = pytest.importorskip("certifi")
    case = variables("http ENDPOINT=https://{https} CERTIFICATE={authority} TIMEOUT=0.5")
    (lines,) = lines_of({"bundle": case}, REQUESTS_CA_BUNDLE=certifi.where()).values()
    assert_quoted_and_said(GAVE_UP, lines)


def test_a_header_that_is_not_understood_is_logged_with_its_value(
    told: dict[str, list[str]],
) -> None:
    """Which the page warns of: the value is a key."""
    assert "Bearer secret" in "".join(told["header with a colon"])

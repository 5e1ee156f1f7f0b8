"""docs/deploy.md quotes what the exporters say of each misconfiguration."""

from __future__ import annotations

import importlib.util
import shlex
import tomllib
from pathlib import Path

import pytest

from studies.troubleshooting.exports import PROTOCOL, lines_of
from support.quotations import assert_quoted_and_said

GAVE_UP = "Failed to export metrics batch due to timeout, max retries or shutdown."


def variables(words: str) -> dict[str, str]:
    """Variables of the exporter, named without their prefix; ``http`` stands for its protocol."""
    pairs = (word.partition("=") for word in shlex.split(words) if word != "http")
    found = {f"OTEL_EXPORTER_OTLP_{name}": value for name, _, value in pairs}
    protocol = {PROTOCOL: "http/protobuf"} if words.startswith("http ") else {}
    return {"OTEL_EXPORTER_OTLP_TIMEOUT": "1.5", **protocol, **found}


_CASES = tomllib.loads(Path(__file__).with_name("exports.toml").read_text())
SAID, SILENT = _CASES["logged"], _CASES["silent"]

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

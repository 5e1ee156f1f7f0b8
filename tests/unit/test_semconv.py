"""The contract's module, compared with the semantic conventions and with itself."""

import re
from pathlib import Path

import pytest

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.semconv import (
    LEVEL_CALL,
    LEVEL_ORIGIN,
    LEVEL_POOL,
    METRICS,
    Instrument,
    Metric,
    registered_provider_name,
)

REGISTERED = dict(
    pair.split("=")
    for pair in (
        "anthropic=anthropic azure=azure.ai.inference azureopenai=azure.ai.openai "
        "bedrock=aws.bedrock cohere=cohere deepseek=deepseek gemini=gcp.gemini groq=groq "
        "mistral=mistral_ai openai=openai perplexity=perplexity vertexai=gcp.vertex_ai "
        "vertexaianthropic=gcp.vertex_ai watsonx=ibm.watsonx.ai xai=x_ai"
    ).split()
)
"""Keys of any-llm 1.40 with a registered provider name."""


UNITS = {"s", "1"}
by_name = pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)


def test_provider_has_its_registered_name_or_keeps_its_key():
    """The value is in the installed conventions, or is any-llm's key; it is never guessed."""
    for key in ("together", "sagemaker", "my gateway"):
        assert registered_provider_name(key) == key
    for key, name in REGISTERED.items():
        assert registered_provider_name(key) == name
    attributes = pytest.importorskip(
        "opentelemetry.semconv._incubating.attributes.gen_ai_attributes"
    )
    values = getattr(attributes, "GenAiProviderNameValues", None)
    if values is not None:  # else the conventions are older than gen_ai.provider.name
        assert set(REGISTERED.values()) <= {value.value for value in values}


def test_metrics_holds_each_metric_of_the_module_once():
    """The reference and the dashboards iterate over METRICS."""
    defined = [value for value in vars(semconv).values() if isinstance(value, Metric)]
    assert list(METRICS) == defined
    assert len({metric.name for metric in METRICS}) == len(METRICS)


@by_name
def test_metric_follows_the_naming_rules(metric):
    """Units are seconds or annotated counts. Ratios end in ``ratio``, the suffix for unit 1."""
    assert re.fullmatch(r"(gluellm|http\.client|dns\.lookup)(\.[a-z][a-z_]*)+", metric.name)
    assert metric.name != "http.client.request.duration"  # emitted by instrumentations of clients
    assert metric.unit in UNITS or re.fullmatch(r"\{[a-z]+\}", metric.unit)
    assert (metric.unit == "1") == metric.name.endswith(".ratio")
    assert metric.description.endswith(".")
    assert "  " not in metric.description
    # The SDK takes boundaries as they come; unsorted ones would count wrong.
    assert bool(metric.buckets) == (metric.instrument is Instrument.HISTOGRAM)
    assert list(metric.buckets) == sorted(set(metric.buckets))
    if metric in (semconv.ACQUIRE_DURATION, semconv.LEASE_DURATION):
        # Most answers of small models end between 0.25 and 1 s, so quantiles need a bound there.
        place = metric.buckets.index(0.5)
        assert metric.buckets[place - 1 : place + 2] == (0.25, 0.5, 1.0)


@by_name
def test_metric_is_at_a_level(metric):
    """Provider and pool come with the library, an origin's address with its port."""
    keys = set(metric.attributes)
    assert len(keys) == len(metric.attributes)
    if metric.name.startswith("gluellm.call"):
        assert keys >= set(LEVEL_CALL)
    elif semconv.PROVIDER_NAME in keys or semconv.POOL_NAME in keys:
        assert keys >= set(LEVEL_POOL)
    if semconv.SERVER_ADDRESS in keys or semconv.SERVER_PORT in keys:
        assert keys >= set(LEVEL_ORIGIN)
    assert not keys & set(metric.opt_in_attributes)


def test_every_key_is_described():
    """The reference has a row for each key that a metric can have."""
    page = (Path(__file__).parents[2] / "docs/metrics.md").read_text(encoding="utf-8")
    for key in semconv.ATTRIBUTES:
        assert re.search(rf"^\| `{re.escape(key)}` \| \S", page, re.MULTILINE), key


def test_conventional_keys_are_spelled_as_in_the_conventions():
    """Names without the package's prefix are those of the conventions."""
    for module, names in (
        ("error", {"ERROR_TYPE": semconv.ERROR_TYPE}),
        ("http", {"HTTP_RESPONSE_STATUS_CODE": semconv.STATUS_CODE}),
        ("network", {"NETWORK_PROTOCOL_NAME": semconv.PROTOCOL_NAME}),
        ("network", {"NETWORK_PROTOCOL_VERSION": semconv.PROTOCOL_VERSION}),
        ("server", {"SERVER_ADDRESS": semconv.SERVER_ADDRESS, "SERVER_PORT": semconv.SERVER_PORT}),
    ):
        theirs = pytest.importorskip(f"opentelemetry.semconv.attributes.{module}_attributes")
        assert {name: getattr(theirs, name) for name in names} == names

"""The contract module against the conventions it builds on, and against itself."""

from __future__ import annotations

import re

import pytest

from opentelemetry.instrumentation.gluellm.pool import lease
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.semconv import (
    LEVEL_ORIGIN,
    LEVEL_POOL,
    METRICS,
    Instrument,
    Metric,
    registered_provider_name,
)

REGISTERED = {
    "anthropic": "anthropic",
    "azure": "azure.ai.inference",
    "azureopenai": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "gemini": "gcp.gemini",
    "groq": "groq",
    "mistral": "mistral_ai",
    "openai": "openai",
    "perplexity": "perplexity",
    "vertexai": "gcp.vertex_ai",
    "vertexaianthropic": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
"""Keys of any-llm 1.40 with a registered provider name."""

UNREGISTERED = (
    "atlascloud azureanthropic cascadia cerebras dashscope databricks deepinfra edenai fireworks "
    "github gmi huggingface inception kenari liner llama llamacpp llamafile lmstudio meta minimax "
    "moonshot mzai nebius neosantara ollama openrouter otari ovhcloud portkey qiniu requesty "
    "sagemaker sambanova telnyx together typesafe vllm voyage zai"
).split()
"""Keys of any-llm 1.40 without one."""

UNITS = {"s", "1"}
by_name = pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)


@pytest.mark.parametrize(("key", "name"), REGISTERED.items())
def test_registered_provider_has_its_registered_name(key: str, name: str) -> None:
    """The value is one that the installed conventions list."""
    attributes = pytest.importorskip(
        "opentelemetry.semconv._incubating.attributes.gen_ai_attributes"
    )
    values = getattr(attributes, "GenAiProviderNameValues", None)
    if values is None:
        pytest.skip("these conventions are older than gen_ai.provider.name")
    assert registered_provider_name(key) == name
    assert name in {value.value for value in values}


@pytest.mark.parametrize("key", UNREGISTERED)
def test_provider_without_a_registered_name_keeps_its_key(key: str) -> None:
    """Never guessed: any-llm's own key is the name."""
    assert registered_provider_name(key) == key


def test_every_provider_of_any_llm_was_considered() -> None:
    """A provider that any-llm adds needs a look at the registry."""
    any_llm = pytest.importorskip("any_llm")
    supported = set(any_llm.AnyLLM.get_supported_providers())
    assert supported <= REGISTERED.keys() | set(UNREGISTERED)


def test_metrics_holds_each_metric_of_the_module_once() -> None:
    """METRICS is what the reference and the dashboards walk over."""
    defined = [value for value in vars(semconv).values() if isinstance(value, Metric)]
    assert list(METRICS) == defined
    assert len({metric.name for metric in METRICS}) == len(METRICS)


@by_name
def test_metric_follows_the_naming_rules(metric: Metric) -> None:
    """Seconds or annotated counts; ratios end in ``ratio``, as unit 1 becomes a suffix of it."""
    assert re.fullmatch(r"(gluellm|http\.client)(\.[a-z][a-z_]*)+", metric.name)
    assert metric.unit in UNITS or re.fullmatch(r"\{[a-z]+\}", metric.unit)
    assert (metric.unit == "1") == metric.name.endswith(".ratio")
    assert metric.description.endswith(".")
    assert "  " not in metric.description


@by_name
def test_only_histograms_have_buckets_and_these_rise(metric: Metric) -> None:
    """The SDK takes boundaries as they come; unsorted ones would count wrong."""
    assert bool(metric.buckets) == (metric.instrument is Instrument.HISTOGRAM)
    assert list(metric.buckets) == sorted(set(metric.buckets))


@by_name
def test_metric_is_at_a_level(metric: Metric) -> None:
    """Provider and pool come with the library, an origin's address with its port."""
    keys = set(metric.attributes)
    assert len(keys) == len(metric.attributes)
    if semconv.PROVIDER_NAME in keys or semconv.POOL_NAME in keys:
        assert keys >= set(LEVEL_POOL)
    if semconv.SERVER_ADDRESS in keys or semconv.SERVER_PORT in keys:
        assert keys >= set(LEVEL_ORIGIN)
    assert not keys & set(metric.opt_in_attributes)


def test_every_key_is_described() -> None:
    """The reference tells of each key that a metric can have."""
    described = {attribute.key for attribute in semconv.ATTRIBUTES}
    for metric in METRICS:
        assert {*metric.attributes, *metric.opt_in_attributes} <= described


def test_phases_are_those_of_the_pool() -> None:
    """The contract names them, the pool's code numbers them."""
    assert semconv.PHASES == lease.PHASES


def test_http_client_request_duration_belongs_to_another_package() -> None:
    """opentelemetry-instrumentation-httpx emits it; twice would double every request."""
    assert "http.client.request.duration" not in {metric.name for metric in METRICS}


def test_conventional_keys_are_spelled_as_in_the_conventions() -> None:
    """The names without our prefix are not ours to choose."""
    keys = pytest.importorskip("opentelemetry.semconv.attributes")
    from opentelemetry.semconv.attributes import (
        error_attributes,
        http_attributes,
        network_attributes,
        server_attributes,
    )

    assert keys
    assert error_attributes.ERROR_TYPE == semconv.ERROR_TYPE
    assert http_attributes.HTTP_RESPONSE_STATUS_CODE == semconv.STATUS_CODE
    assert network_attributes.NETWORK_PROTOCOL_NAME == semconv.PROTOCOL_NAME
    assert network_attributes.NETWORK_PROTOCOL_VERSION == semconv.PROTOCOL_VERSION
    assert server_attributes.SERVER_ADDRESS == semconv.SERVER_ADDRESS
    assert server_attributes.SERVER_PORT == semconv.SERVER_PORT


@pytest.mark.parametrize("metric", [semconv.ACQUIRE_DURATION, semconv.LEASE_DURATION])
def test_half_a_second_is_a_bucket_of_waits_and_leases(metric: semconv.Metric) -> None:
    """Between 0.25 and 1 s a quantile was a guess: most answers of small models end there."""
    place = metric.buckets.index(0.5)
    assert metric.buckets[place - 1 : place + 2] == (0.25, 0.5, 1.0)

"""The table of API hosts."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from opentelemetry.instrumentation.gluellm.attribution.hosts import provider_for_host

# Hosts of any-llm's API_BASE constants that say nothing about the provider, and why.
AMBIGUOUS = {
    "127.0.0.1": "this machine",
    "localhost": "this machine",
    "api.telnyx.com": "telephony, too",
}


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("api.openai.com", "openai"),
        ("API.OpenAI.com.", "openai"),
        ("eu.api.openai.com", "openai"),
        ("contoso.openai.azure.com", "azureopenai"),
        ("deployment.eastus2.models.ai.azure.com", "azure"),
        ("api.anthropic.com", "anthropic"),
        ("us-east-1.api.x.ai", "xai"),
        ("aiplatform.googleapis.com", "vertexai"),
        ("europe-west4-aiplatform.googleapis.com", "vertexai"),
        ("aiplatform.eu.rep.googleapis.com", "vertexai"),
        ("generativelanguage.googleapis.com", "gemini"),
        ("bedrock-runtime.eu-central-1.amazonaws.com", "bedrock"),
        ("bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "bedrock"),
        ("bedrock-mantle.us-east-1.api.aws", "bedrock"),
        ("vpce-0a-1b.bedrock-runtime.us-east-1.vpce.amazonaws.com", "bedrock"),
        ("runtime.sagemaker.us-east-1.amazonaws.com", "sagemaker"),
        ("api.otari.ai", "otari"),
        ("us-south.ml.cloud.ibm.com", "watsonx"),
        ("ap-south-1.aws.wxai.ibm.com", "watsonx"),
        ("mine.us-east-1.aws.endpoints.huggingface.cloud", "huggingface"),
    ],
)
def test_api_host_names_its_provider(host: str, provider: str) -> None:
    """Exact names, regional and per-customer names, in any case."""
    assert provider_for_host(host) == provider


@pytest.mark.parametrize(
    "host",
    [
        "",
        "localhost",
        "127.0.0.1",
        "::1",
        "openai.com",
        "api.openai.com.example.org",
        "notapi.openai.com",
        ".openai.azure.com",
        "contoso.services.ai.azure.com",
        "s3.us-east-1.amazonaws.com",
        "amazonaws.com",
        "vpce-0a.amazonaws.com",
        "storage.googleapis.com",
        "dbc-1.cloud.databricks.com",
        "gateway.internal",
    ],
)
def test_unknown_host_is_never_guessed(host: str) -> None:
    """A host that may serve something else has no provider."""
    assert provider_for_host(host) is None


def test_every_api_base_of_any_llm_is_in_the_table() -> None:
    """A provider that any-llm adds is seen here: in the table, or with a reason why not."""
    any_llm = pytest.importorskip("any_llm")
    wrong = {}
    for key in any_llm.AnyLLM.get_supported_providers():
        try:
            cls = any_llm.AnyLLM.get_provider_class(key)
        except ImportError:
            continue
        base = cls.API_BASE
        if not base:
            continue
        host = urlsplit(base if "//" in base else f"//{base}").hostname or ""
        found = provider_for_host(host)
        if found != (None if host in AMBIGUOUS else key):
            wrong[key] = (host, found)
    assert wrong == {}

"""The table of API hosts."""

import importlib.util
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from opentelemetry.instrumentation.gluellm.attribution.hosts import Naming, provider_for_host

# Hosts of any-llm's API_BASE constants that don't identify a provider, with the reason.
AMBIGUOUS = {
    "127.0.0.1": "this machine",
    "localhost": "this machine",
    "api.telnyx.com": "telephony, too",
}


HOSTS = """
openai: api.openai.com API.OpenAI.com. eu.api.openai.com
azureopenai: contoso.openai.azure.com
azure: deployment.eastus2.models.ai.azure.com
anthropic: api.anthropic.com
xai: us-east-1.api.x.ai
vertexai: aiplatform.googleapis.com europe-west4-aiplatform.googleapis.com
vertexai: aiplatform.eu.rep.googleapis.com
gemini: generativelanguage.googleapis.com
bedrock: bedrock-runtime.eu-central-1.amazonaws.com bedrock-mantle.us-east-1.api.aws
bedrock: bedrock-runtime-fips.us-gov-west-1.amazonaws.com
bedrock: vpce-0a-1b.bedrock-runtime.us-east-1.vpce.amazonaws.com
sagemaker: runtime.sagemaker.us-east-1.amazonaws.com
otari: api.otari.ai
watsonx: us-south.ml.cloud.ibm.com ap-south-1.aws.wxai.ibm.com
huggingface: mine.us-east-1.aws.endpoints.huggingface.cloud
: localhost 127.0.0.1 ::1 openai.com api.openai.com.example.org notapi.openai.com
: .openai.azure.com contoso.services.ai.azure.com s3.us-east-1.amazonaws.com amazonaws.com
: vpce-0a.amazonaws.com storage.googleapis.com dbc-1.cloud.databricks.com gateway.internal
"""


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("", ""),
        *(
            (host, provider)
            for provider, _, hosts in (line.partition(": ") for line in HOSTS.split("\n"))
            for host in hosts.split()
        ),
    ],
)
def test_api_host_has_its_provider_or_no_provider(host, provider):
    """Exact, regional and customers' names match in any case; hosts with other uses do not."""
    assert (provider_for_host(host) or "") == provider


OWN = {
    ("llm.test", None): "openai",
    ("10.1.2.3", 8000): "vllm",
    ("::1", 443): "ollama",
    ("*.corp.test", None): "mistral",
    ("eu.corp.test", 80): "groq",
    ("api.openai.com", None): "portkey",
}


@pytest.mark.parametrize(
    ("host", "port", "provider"),
    [
        ("llm.test", None, "openai"),
        (b"LLM.test.", 8000, "openai"),
        ("10.1.2.3", 8000, "vllm"),
        ("10.1.2.3", 8001, None),
        ("10.1.2.3", None, None),
        ("::1", None, "ollama"),
        ("a.b.corp.test", 8000, "mistral"),
        ("corp.test", None, None),
        ("eu.corp.test", None, "groq"),
        ("eu.corp.test", 443, "mistral"),
        ("api.openai.com", None, "portkey"),
        ("api.groq.com", None, "groq"),
    ],
)
def test_own_host_comes_before_the_known_ones(host, port, provider):
    """Exact before its domain. Without a port in the URL, it is 443 or 80."""
    assert Naming(OWN).provider(host, port) == provider


def test_any_path_of_an_own_host_calls_a_model():
    """At a known host, only the paths of calls do."""
    naming = Naming(OWN)
    assert naming.described("llm.test", None, "/generate") == ("openai", None, None)
    assert naming.described("api.groq.com", None, "/generate") is None
    assert naming.described("other.test", None, "/v1/chat/completions") is None


def test_every_api_base_of_any_llm_is_in_the_table():
    """A provider that any-llm adds must be in the table, or in `AMBIGUOUS`."""
    spec = importlib.util.find_spec("any_llm")
    if spec is None or spec.origin is None:
        pytest.skip("any-llm is not installed")
    providers = Path(spec.origin).parent / "providers"
    registry = (providers / "registry.py").read_text()
    bases = re.findall(r'name="(\w+)",\n +api_base="(.+?)"', registry)
    for path in providers.glob("*/*.py"):
        own = re.findall(r'^    API_BASE = "(.+?)"', path.read_text(), re.MULTILINE)
        bases += [(path.parent.name, base) for base in own]
    assert len(bases) > 30
    for key, base in bases:
        host = urlsplit(base if "//" in base else f"//{base}").hostname or ""
        assert provider_for_host(host) == (None if host in AMBIGUOUS else key), base

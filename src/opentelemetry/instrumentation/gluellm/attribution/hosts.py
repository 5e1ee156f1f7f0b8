"""Which provider an API host belongs to, for pools that are used outside any-llm.

The hosts are those of any-llm 1.40's ``API_BASE`` constants and of the SDKs that its providers use.
A host that serves more than one provider's API, or more than models, is left out: a workspace of
Databricks, ``*.services.ai.azure.com`` (Azure's, OpenAI's and Anthropic's API on one host), Telnyx'
telephony API, and everything on the local machine.
"""

from __future__ import annotations

_HOSTS = {
    "aiplatform.eu.rep.googleapis.com": "vertexai",
    "aiplatform.googleapis.com": "vertexai",
    "aiplatform.us.rep.googleapis.com": "vertexai",
    "api-inference.huggingface.co": "huggingface",
    "api.anthropic.com": "anthropic",
    "api.atlascloud.ai": "atlascloud",
    "api.cerebras.ai": "cerebras",
    "api.cohere.ai": "cohere",
    "api.cohere.com": "cohere",
    "api.deepinfra.com": "deepinfra",
    "api.deepseek.com": "deepseek",
    "api.edenai.run": "edenai",
    "api.fireworks.ai": "fireworks",
    "api.gmi-serving.com": "gmi",
    "api.groq.com": "groq",
    "api.inceptionlabs.ai": "inception",
    "api.llama.com": "llama",
    "api.meta.ai": "meta",
    "api.minimax.io": "minimax",
    "api.mistral.ai": "mistral",
    "api.moonshot.ai": "moonshot",
    "api.neosantara.xyz": "neosantara",
    "api.openai.com": "openai",
    "api.otari.ai": "otari",
    "api.perplexity.ai": "perplexity",
    "api.portkey.ai": "portkey",
    "api.qnaigc.com": "qiniu",
    "api.sambanova.ai": "sambanova",
    "api.studio.nebius.ai": "nebius",
    "api.together.ai": "together",
    "api.together.xyz": "together",
    "api.typesafe.ai": "typesafe",
    "api.voyageai.com": "voyage",
    "api.x.ai": "xai",
    "api.z.ai": "zai",
    "codestral.mistral.ai": "mistral",
    "dashscope.aliyuncs.com": "dashscope",
    "evalstate-openresponses.hf.space": "huggingface",
    "generativelanguage.googleapis.com": "gemini",
    "kenari.id": "kenari",
    "models.github.ai": "github",
    "openrouter.ai": "openrouter",
    "platform-api.any-llm.ai": "mzai",
    "platform.liner.com": "liner",
    "router.huggingface.co": "huggingface",
    "router.requesty.ai": "requesty",
}

_SUFFIXES = (
    # Regional hosts: before the name with a dot, or Vertex AI's with a hyphen.
    (".api.openai.com", "openai"),
    (".api.x.ai", "xai"),
    ("-aiplatform.googleapis.com", "vertexai"),
    # A host per customer's resource, deployment or region.
    (".openai.azure.com", "azureopenai"),
    (".models.ai.azure.com", "azure"),
    (".endpoints.huggingface.cloud", "huggingface"),
    (".endpoints.kepler.ai.cloud.ovh.net", "ovhcloud"),
    (".ml.cloud.ibm.com", "watsonx"),
    (".aws.wxai.ibm.com", "watsonx"),
)

_AWS_SUFFIXES = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")
_AWS_SERVICES = {
    "bedrock": "bedrock",
    "bedrock-fips": "bedrock",
    "bedrock-mantle": "bedrock",
    "bedrock-runtime": "bedrock",
    "bedrock-runtime-fips": "bedrock",
    "runtime.sagemaker": "sagemaker",
    "runtime-fips.sagemaker": "sagemaker",
}


def provider_for_host(host: str) -> str | None:
    """any-llm's key of the provider whose API ``host`` serves; None when that isn't known.

    ``host`` is a name as in a URL's host part, without a port, in any case.
    """
    name = host.lower().rstrip(".")
    exact = _HOSTS.get(name)
    if exact is not None:
        return exact
    for suffix, provider in _SUFFIXES:
        if name.endswith(suffix) and len(name) > len(suffix):
            return provider
    if name.endswith(_AWS_SUFFIXES):
        return _aws_provider(name)
    return None


def _aws_provider(name: str) -> str | None:
    """``<service>.<region>.amazonaws.com``, before it an endpoint's id in a private network.

    https://docs.aws.amazon.com/general/latest/gr/bedrock.html
    """
    labels = name.split(".")
    if labels[0].startswith("vpce-"):
        labels = labels[1:]
    one, two = labels[0], ".".join(labels[:2])
    return _AWS_SERVICES.get(two) or _AWS_SERVICES.get(one)

"""Provider of each known API host, and which requests call a model.

The hosts come from the ``API_BASE`` constants of any-llm 1.40 and from the SDKs that its providers
use. Left out are hosts that serve several providers' APIs or other services: Databricks workspaces,
``*.services.ai.azure.com`` (APIs of Azure, OpenAI and Anthropic), Telnyx' telephony API, and all
hosts on the local machine.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

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
    # Regional hosts. The region is followed by a dot, or by a hyphen for Vertex AI.
    (".api.openai.com", "openai"),
    (".api.x.ai", "xai"),
    ("-aiplatform.googleapis.com", "vertexai"),
    # One host per customer resource, deployment or region.
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

_OPERATIONS = {
    "/chat/completions": "chat",
    "/completions": "text_completion",
    "/responses": "chat",
    "/v1/messages": "chat",  # not the messages of openai's threads
    "/embeddings": "embeddings",
    "/moderations": "moderation",
    "/images/generations": "generate_content",
    "/images/edits": "generate_content",
    "/audio/speech": "generate_content",
    "/audio/transcriptions": "generate_content",
    "/audio/translations": "generate_content",
    ":generateContent": "generate_content",
    ":streamGenerateContent": "generate_content",
    ":predict": "generate_content",
    ":embedContent": "embeddings",
    ":batchEmbedContents": "embeddings",
    ":rawPredict": "chat",
    ":streamRawPredict": "chat",
    "/api/chat": "chat",
    "/api/generate": "text_completion",
    "/api/embed": "embeddings",
    "/chat": "chat",
    "/embed": "embeddings",
    "/rerank": "rerank",
    "/converse": "chat",
    "/converse-stream": "chat",
    "/invoke": "chat",
    "/invoke-with-response-stream": "chat",
}
"""``gen_ai.operation.name`` by the end of the path. Files, batches and models are not in it."""
_LAST_PARTS = frozenset(end.replace(":", "/").rpartition("/")[2] for end in _OPERATIONS)


def operation_of(path: str) -> str | None:
    """Return the operation of a POST to ``path``, which may have a query; None if unknown.

    The path is not stored.
    """
    path = path.partition("?")[0]
    # Every POST to a provider comes here, and comparing with each end takes three times as long.
    if path.replace(":", "/").rpartition("/")[2] not in _LAST_PARTS:
        return None
    return next((operation for end, operation in _OPERATIONS.items() if path.endswith(end)), None)


Described = tuple["str | None", "str | None", "str | None"]
"""Provider (any-llm's key), operation and model of a request, as far as they are known."""


class Naming:
    """Finds the provider of a request: by its host, or by the current GenAI span.

    ``hosts`` has the user's own hosts, exact or ``*.`` and a domain, each with its port or None,
    and their providers. ``of_span`` describes the request by the current GenAI span, if there is
    one.
    """

    def __init__(
        self,
        hosts: Mapping[tuple[str, int | None], str] | None = None,
        of_span: Callable[[], Described | None] = lambda: None,
    ) -> None:
        self._hosts = dict(hosts or {})
        self.of_span = of_span
        self._at = functools.lru_cache(maxsize=1_000)(self._find)

    def provider(self, host: str | bytes, port: int | None = None) -> str | None:
        """Return any-llm's key of a host's provider; None if unknown."""
        return self._at(host, port)[0]

    def described(
        self, host: str | bytes, port: int | None, path: str | bytes | None
    ) -> Described | None:
        """Describe a POST that calls a model; None for any other.

        Without a path, it is assumed to be one that calls a model. The path is not stored.
        """
        provider, own = self._at(host, port)
        known = provider is not None and (
            own or path is None or operation_of(_text(path)) is not None
        )
        span = self.of_span()
        if span is None:
            return (provider, None, None) if known else None
        return (provider or span[0], *span[1:])

    def _find(self, host: str | bytes, port: int | None) -> tuple[str | None, bool]:
        """Return the provider of a host, and whether the user has set it."""
        name = _text(host).lower().rstrip(".")
        ports = (port, None) if port else (None, 443, 80)
        parents = (f"*.{name.split('.', n)[n]}" for n in range(1, name.count(".") + 1))
        for pattern in (name, *parents):
            for each in ports:
                if (pattern, each) in self._hosts:
                    return self._hosts[pattern, each], True
        return provider_for_host(name), False


def _text(part: str | bytes) -> str:
    return part if isinstance(part, str) else part.decode("ascii", "replace")


def provider_for_host(host: str) -> str | None:
    """Return any-llm's key of the provider whose API ``host`` serves; None if unknown.

    ``host`` is a URL's host without the port, in upper or lower case.
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
    """Return the provider of ``[<VPC endpoint>.]<service>.<region>.amazonaws.com``.

    Source: https://docs.aws.amazon.com/general/latest/gr/bedrock.html
    """
    labels = name.split(".")
    if labels[0].startswith("vpce-"):
        labels = labels[1:]
    one, two = labels[0], ".".join(labels[:2])
    return _AWS_SERVICES.get(two) or _AWS_SERVICES.get(one)

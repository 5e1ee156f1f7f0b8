"""What the census expects of each any-llm provider: whose pool it is, and the limits in effect.

Measured with any-llm-sdk 1.40.2 and the SDKs that it installs. A change here is news: an SDK has
another default, or another HTTP library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

LOOPBACK = "127.0.0.1"
CHAT, EMBEDDINGS, DECIDE = "chat", "embeddings", "decide"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One provider. Times are seconds; None is no limit, and no timeout."""

    provider: str
    """any-llm's key, which is the pool's name too."""
    name: str
    """``gen_ai.provider.name``."""
    sdk: str
    library: str
    maximum: int | None
    idle_maximum: int | None
    keepalive_expiry: float | None
    pool_timeout: float | None
    read_timeout: float | None
    operation: str = CHAT
    host: str = LOOPBACK
    """``server.address`` of the request; the port is the fake's, but for a real name 443."""
    pools: int = 1
    """Pools that one instance with one call uses."""
    requests: int = 1
    """Requests that it sends to the provider's host."""
    elsewhere: tuple[str, ...] = ()
    """Further hosts, of each of which it asks something once."""
    calling: int = 1
    """Pools that have a request under way when the provider is asked."""
    told_operation: bool = True
    """Whether requests know their call; not where the SDK sends them in a thread of its own."""
    protocol: str | None = "1.1"
    """What its connections speak; None where the library doesn't tell of connections."""
    threads: bool = False
    """Whether an executor's threads send the requests, and so bound them."""
    note: str = ""


# any-llm's keys whose value of gen_ai.provider.name is another one.
REGISTERED = {
    "azure": "azure.ai.inference",
    "azureopenai": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertexai": "gcp.vertex_ai",
    "vertexaianthropic": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}

_OPENAI = (
    "atlascloud azureopenai cascadia dashscope databricks deepinfra edenai github gmi "
    "inception kenari llama llamacpp llamafile minimax moonshot mzai nebius neosantara openai "
    "openrouter ovhcloud perplexity portkey qiniu requesty sambanova telnyx vllm zai"
).split()
_ANTHROPIC = "anthropic azureanthropic vertexaianthropic".split()


def _row(
    provider: str,
    sdk: str,
    library: str,
    limits: tuple[int | None, int | None, float | None],
    timeouts: tuple[float | None, float | None],
    **more: Any,
) -> Row:
    names = ("maximum", "idle_maximum", "keepalive_expiry", "pool_timeout", "read_timeout")
    more |= dict(zip(names, limits + timeouts, strict=True))
    name = REGISTERED.get(provider, provider)
    return Row(provider=provider, name=name, sdk=sdk, library=library, **more)


_LARGE = (1000, 100, 5.0)
_HTTPX = (100, 20, 5.0)
_NONE = (None, None)

_TWO_CLIENTS = "A second pool, of an anthropic client on httpx, serves `messages`."

ROWS: tuple[Row, ...] = (
    *(_row(provider, "openai", "httpx2", _LARGE, (600, 600)) for provider in _OPENAI),
    *(
        _row(provider, "openai", "httpx2", _LARGE, (600, 600), note=_TWO_CLIENTS)
        for provider in ("deepseek", "meta")
    ),
    *(_row(provider, "anthropic", "httpx", _LARGE, (600, 600)) for provider in _ANTHROPIC),
    _row("groq", "groq", "httpx", _HTTPX, (60, 60)),
    _row(
        "together",
        "together",
        "httpx",
        _HTTPX,
        (60, 60),
        note="any-llm 1.40 can't import together 3.x, which its extra installs: install "
        "`together<3`.",
    ),
    _row(
        "cerebras",
        "cerebras-cloud-sdk",
        "httpx",
        _HTTPX,
        (60, 60),
        pools=2,
        requests=2,
        note="The constructor sends a request, `tcp_warming`, and waits for the answer, through a "
        "client that it throws away.",
    ),
    _row("ollama", "ollama", "httpx", _HTTPX, _NONE),
    _row("liner", "httpx", "httpx", _HTTPX, (60, 60)),
    _row("mistral", "mistralai", "httpx2", _HTTPX, (300, 300)),
    _row(
        "huggingface",
        "huggingface_hub",
        "httpx2",
        _HTTPX,
        _NONE,
        pools=2,
        requests=2,
        note="The first call of a process also asks the hub for a list, once a day, with a sync "
        "client in the event loop: it blocks the loop for up to 3 s.",
    ),
    _row("typesafe", "typesafe-sdk", "httpx2", (100, 100, 30.0), (10, 10), operation=DECIDE),
    _row(
        "watsonx",
        "ibm-watsonx-ai",
        "httpx",
        (10, 10, 5.0),
        (1800, 1800),
        host="us-south.ml.cloud.ibm.com",
        pools=2,
        requests=2,
        elsewhere=("iam.cloud.ibm.com", "api.dataplatform.cloud.ibm.com"),
        note="Each call builds an `APIClient`, which gets a token and looks up the project and the "
        "model with a sync client in the event loop, before it asks for the chat.",
    ),
    _row(
        "lmstudio",
        "lmstudio",
        "httpx",
        _HTTPX,
        (5, 5),
        pools=6,
        requests=6,
        calling=5,
        protocol="websocket",
        note="Each call opens five WebSockets, one for each part of the SDK's API, and each has a "
        "client of its own; a sixth client asks before whether the server is there.",
    ),
    _row("azure", "azure-ai-inference", "aiohttp", (100, None, 15.0), (None, 300)),
    _row("cohere", "cohere", "aiohttp", (100, None, 5.0), (300, 300)),
    _row("fireworks", "fireworks-ai", "aiohttp", (1000, None, 5.0), (600, 600)),
    _row("gemini", "google-genai", "aiohttp", (None, None, 15.0), _NONE),
    _row("vertexai", "google-genai", "aiohttp", (None, None, 15.0), _NONE),
    _row("voyage", "voyageai", "aiohttp", (100, None, 15.0), (600, None), operation=EMBEDDINGS),
    *(
        _row(provider, "boto3", "urllib3", (None, 10, None), (None, 60), threads=True)
        for provider in ("bedrock", "sagemaker")
    ),
    _row(
        "otari",
        "otari",
        "urllib3",
        (None, 10, None),
        _NONE,
        threads=True,
        note="Streams go through a second pool, of httpx (100 connections, 20 idle ones).",
    ),
    _row("xai", "xai-sdk", "grpc", (None, None, None), _NONE, host="localhost", protocol=None),
)
BY_PROVIDER = {row.provider: row for row in ROWS}

"""Advice on each provider's client, checked against the installed SDKs."""

import re
import socket
from typing import Any

import pytest

from gluellm_diagnosis.advice.advisor import (
    GLUELLM_PROVIDERS,
    Advisor,
    advisor_for,
    without_retries,
)
from gluellm_diagnosis.advice.families import FAMILY_OF
from gluellm_diagnosis.advice.own_clients import OwnClient
from opentelemetry.instrumentation.gluellm.limits import configure_pools, reset_pools

PROVIDERS = sorted(FAMILY_OF)


def advice(advisor: Advisor | OwnClient) -> list[str]:
    ways = advisor.allow(40), advisor.wait_at_most(10, 40), advisor.keep_idle(3, 40)
    return [*ways, advisor.probe_idle(40), advisor.without_http2(40), advisor.keep_instance()]


def test_every_provider_of_any_llm_has_advice():
    """A provider that any-llm adds needs advice."""
    any_llm = pytest.importorskip("any_llm")
    assert set(any_llm.AnyLLM.get_supported_providers()) <= set(PROVIDERS)


def test_advice_depends_on_provider_library_and_gluellm():
    """GlueLLM's client is one of httpx, with its limits in its settings."""
    assert advisor_for("openai", "httpx2", gluellm=True).allow(40) == (
        'Allow 40 connections: configure_pools(provider="openai", max_connections=40, '
        "max_keepalive_connections=40) if any-llm builds the client, or "
        'AnyLLM.create("openai", http_client=openai.DefaultAsyncHttpxClient('
        "limits=httpx2.Limits(max_connections=40)))"
    )
    text = advisor_for("openai", "httpx", gluellm=True).allow(40)
    assert "GLUELLM_HTTP_MAX_CONNECTIONS=40" in text
    assert "GLUELLM_HTTP_MAX_KEEPALIVE_CONNECTIONS=40" in text
    assert "http_client=openai.DefaultAsyncHttpxClient(limits=httpx.Limits(" in text
    waits = advisor_for("anthropic", "httpx", gluellm=True).wait_at_most(10, 40)
    assert "GLUELLM_DEFAULT_POOL_TIMEOUT=10" in waits
    assert "GLUELLM" not in advisor_for("openai", "httpx", gluellm=False).allow(40)
    assert "GLUELLM" not in advisor_for("groq", "httpx", gluellm=True).allow(40)
    unknown = advisor_for(None, "httpx2", gluellm=False)
    assert unknown.allow(7) == (
        "Allow 7 connections: httpx2.AsyncClient(limits=httpx2.Limits(max_connections=7))"
    )
    assert not any("configure_pools" in text for text in advice(unknown))


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("library", ["httpx", "httpx2", "aiohttp", "urllib3", "grpc"])
def test_without_any_llm_no_advice_names_it(provider, library):
    """With scope="all", the host of an SDK's pool determines a provider."""
    for synchronous in (False, True):
        advisor = advisor_for(
            provider, library, gluellm=False, synchronous=synchronous, any_llm=False
        )
        for text in (*advice(advisor), advisor.keep(40), advisor.limit(40)):
            assert not re.search("AnyLLM|any-llm|configure_pools|api_base", text), text
            assert synchronous or not re.search(r"(\.|DefaultHttpx)Client\(", text), text


@pytest.mark.parametrize("synchronous", [False, True])
@pytest.mark.parametrize("sdk", ["openai", "anthropic"])
def test_every_line_for_the_client_of_an_sdk_has_its_effect(sdk, synchronous):
    """Run as it is printed: with the SDK's own class for clients, and the SDK's own arguments."""
    package = pytest.importorskip(sdk)
    library = package.DefaultHttpxClient.__mro__[1].__module__.partition(".")[0]
    names = {sdk: package, library: pytest.importorskip(library), "socket": socket}
    advisor: Any = advisor_for(sdk, library, gluellm=False, synchronous=synchronous, any_llm=False)

    def client(**settings: Any) -> Any:
        kind = "Anthropic" if sdk == "anthropic" else "OpenAI"
        return getattr(package, kind if synchronous else f"Async{kind}")(api_key="any", **settings)

    def pool(text: str) -> Any:
        built = re.search(rf"{sdk}\.Default(Async)?HttpxClient\(.*\)(?= as http_client=)", text)
        assert built is not None, text
        return client(http_client=eval(built[0], names))._client._transport._pool

    def timeout(text: str) -> Any:
        built = re.search(r"timeout=(\S+\(.*\)) of the SDK's client", text)
        assert built is not None, text
        return client(timeout=eval(built[1], names)).timeout

    assert pool(advisor.allow(40))._max_connections == 40
    kept = pool(advisor.keep_idle(3, 40))
    assert (kept._keepalive_expiry, kept._max_connections) == (3, 40)
    assert pool(advisor.keep(40))._max_keepalive_connections == 40
    assert pool(advisor.without_http2(40))._http2 is False
    if sdk == "openai":  # anthropic's own class does so without advice
        options = pool(advisor.probe_idle(40))._socket_options
        assert (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1) in options
    waits, reads = timeout(advisor.wait_at_most(10, 40)), timeout(advisor.read_at_most(90, 40))
    assert (waits.pool, waits.connect, waits.read) == (10, 5, 600)
    assert (reads.read, reads.connect) == (90, 5)
    assert eval(f"client({without_retries(sdk).split()[0]})", {"client": client}).max_retries == 0


SYNC_ONLY = ("Async", "AnyLLM", "configure_pools", "acompletion", "GLUELLM")


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_synchronous_clients_get_synchronous_advice(library):
    """Each piece of advice builds a client with the limits that it names."""
    module = pytest.importorskip(library)
    expressions = set()
    for provider in (*PROVIDERS, None):
        advisor = advisor_for(provider, library, gluellm=True, synchronous=True)
        for text in (*advice(advisor), advisor.keep(40)):
            assert not any(word in text for word in SYNC_ONLY), text
            assert f"{library}.Client" in text
        built = advisor.allow(40).partition(": ")[2]
        expressions.add(re.split(", which| as http_client=", built)[0])
    modules = {name: pytest.importorskip(name) for name in ("anthropic", "openai")}
    for built in expressions:
        with eval(built, {**modules, library: module}) as client:
            assert client._transport._pool._max_connections == 40


@pytest.mark.parametrize("provider", PROVIDERS)
def test_advice_is_complete_and_its_limits_can_be_configured(provider):
    """It leaves out limits that a library lacks and providers that build a pool per call."""
    pytest.importorskip("any_llm")
    urllib3 = provider in ("bedrock", "sagemaker", "otari")
    for text in advice(advisor_for(provider, "urllib3" if urllib3 else "httpx", gluellm=False)):
        assert not re.search(r"\{\w*\}|None|\.$|^$", text), text
        assert all(text.count(a) == text.count(b) for a, b in ("()", "[]", "{}")), text
        if "configure_pools(" not in text:
            continue
        assert provider not in PER_CALL
        arguments = text[text.index("configure_pools(") :].partition(")")[0].partition("(")[2]
        reset_pools()
        if "pool_timeout" in arguments:
            configure_pools(max_connections=5)  # a pool timeout needs a limit
        eval(f"configure_pools({arguments})", {"configure_pools": configure_pools})
    reset_pools()


def test_advice_on_a_pool_timeout_has_one_timeout():
    """Also for SDKs whose own client has one. Python refuses a repeated argument."""
    for provider in PROVIDERS:
        text = advisor_for(provider, "httpx", gluellm=False).wait_at_most(10, 40)
        assert len(re.findall(r"\btimeout=", text)) <= 1, text


@pytest.mark.parametrize(
    ("provider", "library", "sdk"),
    [
        ("openai", "httpx2", "OpenAI"),
        ("openai", "httpx2", "AsyncOpenAI"),
        ("anthropic", "httpx", "Anthropic"),
        ("anthropic", "httpx", "AsyncAnthropic"),
    ],
)
@pytest.mark.parametrize("gateway", [False, True])
def test_followed_pool_timeout_keeps_the_limits_of_the_sdks_client(provider, library, sdk, gateway):
    """The client that the SDK builds has 1000 connections; one of httpx has 100.

    A gateway's host has no known provider.
    """
    module = pytest.importorskip(provider)
    asynchronous = sdk.startswith("Async")
    known = None if gateway else provider
    advisor = advisor_for(
        known, library, gluellm=False, synchronous=not asynchronous, any_llm=False
    )
    text = advisor.wait_at_most(10, 1000)
    assert f"of the SDK's client, or of your {library}.{'Async' * asynchronous}Client" in text
    arguments = text.partition(": ")[2].partition(" of the")[0]
    names = {provider: module, library: pytest.importorskip(library)}
    client = eval(f"{provider}.{sdk}(api_key='any', {arguments})", names)
    pool, timeout = client._client._transport._pool, client.timeout
    assert (pool._max_connections, pool._max_keepalive_connections) == (1000, 100)
    assert (timeout.connect, timeout.read, timeout.pool) == (5, 600, 10)


@pytest.mark.parametrize(("provider", "library"), [("openai", "httpx2"), ("anthropic", "httpx")])
@pytest.mark.parametrize("synchronous", [False, True])
def test_followed_advice_on_limits_keeps_the_rest_of_the_sdks_client(
    provider, library, synchronous
):
    """A plain client of httpx follows no redirects; anthropic's probes idle connections."""
    sdk = pytest.importorskip(provider)
    names = {provider: sdk, library: pytest.importorskip(library), "socket": socket}
    advisor = advisor_for(provider, library, gluellm=False, synchronous=synchronous, any_llm=False)
    name = {"openai": "OpenAI", "anthropic": "Anthropic"}[provider]
    build = getattr(sdk, name if synchronous else f"Async{name}")
    options = []
    for text in (advisor.allow(40), advisor.keep_idle(3, 40), advisor.without_http2(40)):
        code, found, _ = text.removeprefix("Allow 40 connections: ").partition(" as http_client=")
        assert found, text
        client = build(api_key="any", http_client=eval(code, names))
        pool = client._client._transport._pool
        assert pool._max_connections == 40
        assert (client.timeout.connect, client.timeout.read) == (5, 600)
        assert client._client.follow_redirects
        options.append(pool._socket_options)
    assert all(options) is (provider == "anthropic")


def test_client_that_replaces_the_sdks_has_as_many_connections():
    for provider in ("cohere", "ollama"):
        text = advisor_for(provider, "httpx2", gluellm=False).wait_at_most(10, 1000)
        assert "Limits(max_connections=1000)" in text


def test_advice_on_a_leak_has_the_lines_to_write():
    """For streams of any-llm, and for those of the SDKs and of httpx."""
    block = "above the loop that reads the stream, and indent the loop."
    text = advisor_for("openai", "httpx2", gluellm=False).end_answers()
    assert text.startswith(f"Write `async with contextlib.aclosing(stream):` {block}")
    for synchronous, sign, wait in ((False, "async ", "await "), (True, "", "")):
        text = advisor_for(
            "openai", "httpx2", gluellm=False, synchronous=synchronous, any_llm=False
        ).end_answers()
        assert text.startswith(f"Write `{sign}with stream:` {block}")
        assert f"write `{sign}with client.stream(...) as response:` instead" in text
        end = "closing(generator):`." if synchronous else "aclosing(generator):` or task.cancel()."
        assert f"as well: `{sign}with contextlib.{end}" in text
        assert text.endswith(f": {wait}stream.close()")


def test_botocores_advice_names_the_option_for_each_purpose():
    """``max_pool_connections`` does not limit requests, which also need threads."""
    advisor = advisor_for("bedrock", "urllib3", gluellm=False)
    allowed = advisor.allow(40)
    assert "Config(max_pool_connections=40)" in allowed
    assert "limits only idle connections" in allowed
    assert allowed.endswith("give it 40 threads")
    assert advisor.read_at_most(90, 10).endswith("botocore.config.Config(read_timeout=90))")
    assert advisor.probe_idle(10).endswith("botocore.config.Config(tcp_keepalive=True))")
    assert "botocore" not in advisor.wait_at_most(5, 10)
    assert "max_pool" not in advisor.keep_idle(3, 10)
    assert "has no setting" in advisor.keep_idle(3, 10)
    azure = advisor_for("azure", "aiohttp", gluellm=False).keep_idle(3, 10)
    assert "TCPConnector(limit=10, keepalive_timeout=3)" in azure


PER_CALL = ("liner", "lmstudio", "voyage", "watsonx", "xai")
"""Providers with a pool per call, or without one, on which limits have no effect."""


def followed(text: str) -> Any:
    """The object that the advice builds, with a dummy key."""
    any_llm = pytest.importorskip("any_llm")
    modules = {
        name: pytest.importorskip(name) for name in ("httpx", "httpx2", "openai", "anthropic")
    }

    class AnyLLM:
        @staticmethod
        def create(provider: str, **arguments: Any) -> Any:
            extra = {"api_key": "any", "api_base": "http://127.0.0.1:9/v1"}
            return any_llm.AnyLLM.create(provider, **extra, **arguments)

    code = text[text.index("AnyLLM.create(") :].partition(". The provider")[0]
    return eval(code, {**modules, "AnyLLM": AnyLLM, "socket": socket})


INSTALLED = [
    *((name, "httpx2") for name in "openai azureopenai openrouter vllm deepseek meta".split()),
    *(("openai", "httpx"), ("anthropic", "httpx")),
]


def the_pool(llm: Any) -> Any:
    return llm.client._client._transport._pool


@pytest.mark.parametrize(("provider", "library"), INSTALLED)
def test_followed_advice_is_in_effect(provider, library):
    """The SDK uses the client and its limits, and keeps its own timeouts."""
    advisor = advisor_for(provider, library, gluellm=False)
    llm = followed(advisor.allow(40))
    pool, timeout = the_pool(llm), llm.client.timeout
    assert provider in ("deepseek", "meta") or llm.client._client.follow_redirects
    assert (pool._max_connections, pool._max_keepalive_connections) == (40, 40)
    assert (timeout.connect, timeout.read) == (5, 600)
    timeout = followed(advisor.wait_at_most(10, 40)).client.timeout
    assert (timeout.connect, timeout.read, timeout.write, timeout.pool) == (5, 600, 600, 10)
    timeout = followed(advisor.read_at_most(90, 40)).client.timeout
    assert (timeout.connect, timeout.read) == (5, 90)
    kept = the_pool(followed(advisor.keep_idle(3, 40)))
    assert (kept._keepalive_expiry, kept._max_connections) == (3, 40)
    if provider == "anthropic":  # its own client has keepalive, also with other limits
        options = [option[:2] for option in pool._socket_options]
        assert (socket.SOL_SOCKET, socket.SO_KEEPALIVE) in options
    elif hasattr(socket, "TCP_KEEPIDLE"):  # the advice is in Linux's terms
        probing = the_pool(followed(advisor.probe_idle(40)))
        assert (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1) in probing._socket_options
        assert (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60) in probing._socket_options
        assert probing._max_connections == 40


@pytest.mark.all_sdks
def test_settings_of_gluellm_exist():
    """GlueLLM has the settings that advice names."""
    api = pytest.importorskip("gluellm.api")
    config = pytest.importorskip("gluellm.config")
    fields = config.GlueLLMSettings.model_fields
    names = "http_max_connections http_max_keepalive_connections default_pool_timeout"
    names += " default_request_timeout retry_max_attempts"
    assert {*names.split(), "max_pool_timeout"} <= set(fields)
    assert api.HTTPX_TRANSPORT_PROVIDERS == GLUELLM_PROVIDERS

"""Advice for the application's own clients uses their library's API, and works."""

import asyncio
import re
import socket
from typing import Any

import pytest

from gluellm_diagnosis.advice.advisor import Advisor, advisor_for
from gluellm_diagnosis.advice.own_clients import OwnClient, own_client
from gluellm_diagnosis.findings import Finding, Kind
from opentelemetry.instrumentation.gluellm.snapshots.parts import ExecutorSnapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from unit.gluellm_diagnosis.building import (
    a_pool,
    a_request,
    a_snapshot,
    all_kinds,
    found,
    the_totals,
)

LIBRARIES = ("aiohttp", "urllib3", "grpc")
OF_OTHERS = re.compile(r"httpx|AnyLLM|configure_pools|api_base")


def own(library: str, provider: str | None = None) -> Advisor | OwnClient:
    return advisor_for(provider, library, gluellm=True)


def advice(advisor: Advisor | OwnClient) -> dict[str, str]:
    return {
        "allow": advisor.allow(40),
        "allow at first": advisor.limit(40),
        "wait": advisor.wait_at_most(10, 40),
        "read": advisor.read_at_most(90, 40),
        "expiry": advisor.keep_idle(3, 40),
        "expiry of an unlimited one": advisor.keep_idle(3, None),
        "keep": advisor.keep(40),
        "probe": advisor.probe_idle(40),
        "probe an unlimited one": advisor.probe_idle(None),
        "instance": advisor.keep_instance(),
    }


def expression(text: str, beginning: str) -> str:
    """The call in the text that begins with this."""
    start = text.index(beginning)
    depth = 0
    for place in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if not depth and text[place] == ")":
            return text[start : place + 1]
    raise AssertionError(text)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("provider", [None, "openai", "somebody"])
def test_advice_is_in_the_librarys_terms(library, provider):
    """This includes providers whose SDK uses another library.

    Advice that no finding gives is empty: a channel shows no limits, and aiohttp keeps all
    connections.
    """
    texts = advice(own(library, provider))
    if library == "grpc":
        texts = {"instance": texts["instance"]}
    for what, text in texts.items():
        assert text or (library, what) == ("aiohttp", "keep")
        assert not OF_OTHERS.search(text), text
        assert "None" not in text
        assert not text.endswith(".")
        assert not re.search(r"\{\w*\}", text), text
        assert all(text.count(a) == text.count(b) for a, b in ("()", "[]", "{}"))


def test_advice_by_library_and_provider():
    """A pool of the SDK's library has any-llm's advice. boto3 is named for unlimited pools."""
    for provider, library in (("gemini", "aiohttp"), ("bedrock", "urllib3"), ("xai", "grpc")):
        assert "AnyLLM.create" in own(library, provider).allow(40)
    assert "AnyLLM.create" in own("httpx", "openai").allow(40)  # handed to SDKs that use httpx2
    for library in ("httpx", "httpx2"):  # only these limit idle connections
        assert own(library).keep(14) == (
            f"Keep 14 connections: {library}.AsyncClient(limits={library}.Limits("
            "max_connections=None, max_keepalive_connections=14))"
        )
    assert "botocore" not in own("urllib3").allow(40)
    assert "at most 40 threads" in own("urllib3").limit(40)


def test_aiohttp_takes_what_is_advised():
    """The limits and timeouts are in effect."""
    asyncio.run(follow_aiohttp(pytest.importorskip("aiohttp")))


async def follow_aiohttp(aiohttp: Any) -> None:
    texts = advice(own("aiohttp"))

    def follow(what: str) -> Any:
        code = expression(texts[what], "aiohttp.ClientSession(")
        return eval(code, {"aiohttp": aiohttp, "make_socket": socket.socket})

    async with follow("allow") as session:
        assert session.connector.limit == 40
    async with follow("expiry") as session:
        assert (session.connector.limit, session.connector._keepalive_timeout) == (40, 3)
    async with follow("expiry of an unlimited one") as session:
        assert session.connector.limit == 0
    timeout = eval(expression(texts["wait"], "aiohttp.ClientTimeout("), {"aiohttp": aiohttp})
    assert (timeout.connect, timeout.sock_read) == (10, 600)
    assert (timeout.total, timeout.sock_connect) == (None, None)
    async with follow("probe") as session:
        assert session.connector._socket_factory is socket.socket


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="the advice is in Linux's terms")
def test_urllib3_takes_what_is_advised():
    """The limit makes requests wait, which ``maxsize`` alone does not."""
    urllib3 = pytest.importorskip("urllib3")
    texts = advice(own("urllib3"))

    def follow(what):
        code = expression(texts[what], "urllib3.PoolManager(")
        manager = eval(code, {"urllib3": urllib3, "socket": socket})
        return manager.connection_from_url("http://127.0.0.1:9")

    assert (follow("allow").pool.maxsize, follow("allow").block) == (40, True)
    assert (follow("keep").pool.maxsize, follow("keep").block) == (40, False)
    options = follow("probe").conn_kw["socket_options"]
    assert (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1) in options
    assert (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1) in options
    assert not follow("probe an unlimited one").block
    read = eval(expression(texts["read"], "urllib3.Timeout("), {"urllib3": urllib3})
    assert (read.connect_timeout, read.read_timeout) == (5, 90)


def test_requests_takes_what_is_advised():
    """A session has no PoolManager that users configure."""
    requests = pytest.importorskip("requests")
    texts = advice(own("urllib3"))
    for what, blocks in (("allow", True), ("allow at first", True), ("keep", False)):
        code = expression(texts[what], "mount(")
        with requests.Session() as session:
            eval(f"session.{code}", {"requests": requests, "session": session})
            adapter = session.get_adapter("https://127.0.0.1:9")
            pool = adapter.poolmanager.connection_from_url("https://127.0.0.1:9")
            assert (pool.pool.maxsize, pool.block) == (40, blocks)
    assert "timeout=(5, 90) to each call of a requests.Session" in texts["read"]
    for what in ("expiry", "instance"):
        assert "requests.Session" in texts[what]


def named(library: str, provider: str | None = None) -> dict[str, Any]:
    return {"name": "search", "provider": provider, "library": library}


def leak(library: str, provider: str | None) -> Finding:
    identity = named(library, provider)
    request = a_request("unread", 80.0, leak_suspected=True, provider=provider)
    totals = the_totals(leaks=1, **identity)
    return found(Kind.LEAK, a_snapshot(totals, a_pool([request], **identity)))


@pytest.mark.parametrize(
    ("library", "provider", "advice"),
    [
        ("aiohttp", None, "async with session.get(...) as response"),
        ("aiohttp", None, "response.release()"),
        ("urllib3", None, "response.release_conn()"),
        ("urllib3", None, "response.close() and then response.release_conn()"),
        ("urllib3", None, "With requests, read it in a `with response:` block."),
        ("grpc", None, "call.cancel()"),
        ("aiohttp", "gemini", "contextlib.aclosing(stream)"),
        ("urllib3", "bedrock", "contextlib.aclosing(stream)"),
        ("httpx2", "openai", "contextlib.aclosing(stream)"),
        ("grpc", "xai", "cancel its call"),
    ],
)
def test_leak_is_ended_as_the_library_does(library, provider, advice):
    """An answer of the application's own client is no stream of any-llm's."""
    text = leak(library, provider).advice
    assert advice in text
    assert ("aclosing" in text) is ("aclosing" in advice)
    assert text.endswith(".")


def unbounded(library: str, **changes: Any) -> Any:
    pool = a_pool(max_connections=None, **named(library), **changes)
    return a_snapshot(the_totals(**named(library)), pool)


def test_unbounded_own_pool_gets_advice_for_its_library():
    """The advice names the library's setting. A channel has no limit and is never unbounded."""
    for library, advice in (
        ("aiohttp", "aiohttp.TCPConnector(limit=100)"),
        ("urllib3", "urllib3.PoolManager(maxsize=100, block=True)"),
        ("urllib3", "botocore.config.Config(max_pool_connections=100)"),
        ("httpx", "httpx.Limits(max_connections=100)"),
    ):
        assert advice in found(Kind.UNBOUNDED_POOL, unbounded(library)).advice
    for state in (None, "ready"):
        assert Kind.UNBOUNDED_POOL not in all_kinds(unbounded("grpc", channel_state=state))


def full_executor(provider: str | None, kept: int) -> Finding:
    """The finding on 40 calls for six threads, with a pool that keeps ``kept`` connections."""
    identity: dict[str, Any] = {"name": "bedrock", "provider": provider, "library": "urllib3"}
    executor = ExecutorSnapshot(threads=6, waiting=34, requests=6, pools=("bedrock/urllib3",))
    pool = a_pool(max_connections=None, max_idle_connections=kept, threads=6, **identity)
    return found(
        Kind.EXECUTOR_FULL, a_snapshot(the_totals(**identity), pool, executors=(executor,))
    )


def test_full_executor_asks_for_threads_and_for_connections_that_are_not_kept_yet():
    """The application itself runs the calls of its own client in threads."""
    for provider in ("bedrock", None):
        for kept, more in ((39, True), (40, False), (50, False)):
            advice = full_executor(provider, kept).advice
            assert "ThreadPoolExecutor(40)" in advice
            assert ("max_pool_connections=40" in advice) is more
    assert "any-llm uses" in full_executor("bedrock", 10).explanation
    assert "any-llm" not in str(full_executor(None, 10))
    assert "an executor of your own" in full_executor(None, 10).advice


def test_each_library_has_advice_in_its_own_terms():
    """A library without it would get the advice for httpx."""
    own = {library for library in semconv.POOL_LIBRARIES if own_client(None, library)}
    assert own == set(semconv.POOL_LIBRARIES) - {"httpx", "httpx2"}

"""Steps of establishing a connection: the time of a slow step is recorded for that step.

Names are delayed below the library, in the system's resolver.
"""

import asyncio
import gc
import socket
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio._backends._asyncio
import pytest
import trio._highlevel_open_tcp_stream
from anyio.from_thread import start_blocking_portal

from gluellm_diagnosis.findings import Kind, Severity
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, diagnose, snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clients import PoolUnderTest, Runner
from support.http1 import HTTP1Server
from support.installation import instrument
from support.network import UNRESOLVABLE, unreachable
from support.outcomes import SLACK, assert_near
from support.proxies import HTTPProxy, SOCKSProxy
from support.telemetry import Telemetry
from support.waiting import LATENESS, PATIENCE, wait_until

DELAY = 0.5
NAME = "localhost"

pytestmark = pytest.mark.modes("sync", "asyncio", "trio")


@pytest.fixture
def slow_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Delay the system's resolver for `NAME`. Request it before ``telemetry``."""
    original = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        numeric = len(args) > 4 and args[4] & socket.AI_NUMERICHOST
        if host not in (NAME, NAME.encode()) or numeric:
            return original(host, *args, **kwargs)
        time.sleep(DELAY)
        return original("127.0.0.1", *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def named(url: str) -> str:
    return url.replace("127.0.0.1", NAME)


def assert_steps(telemetry: Telemetry, **expected: float) -> None:
    """Assert the seconds by step of one set-up, about 0 for steps that are not named.

    A busy machine can add time to any step; it cannot shorten a scheduled one.
    """
    reading = telemetry.now()
    steps = reading.steps()
    late = LATENESS.beside(SLACK)
    added = max(late, sum(steps.values()) - sum(expected.values()))
    assert sum(steps.values()) == pytest.approx(
        reading.total(semconv.CONNECTION_CREATE_DURATION), abs=0.001
    )
    for step, took in steps.items():
        scheduled = expected.get(step, 0.0)
        assert scheduled - late <= took <= scheduled + added, (step, steps)


def test_slow_name_is_in_resolve(slow_name, runner, library, listen, telemetry):
    """The span has the step's time and ``network.type``."""
    server = listen(HTTP1Server)
    pool = runner.pool(library)
    pool.get(named(server.url()))
    assert_steps(telemetry, resolve=DELAY)
    (span,) = telemetry.spans("HTTP connection_setup")
    assert span.attributes[semconv.SPAN_STEP_TIME + "resolve"] >= DELAY
    assert span.attributes[semconv.NETWORK_TYPE] == "ipv4"


def test_slow_connect_is_in_connect(runner, library, telemetry):
    """A set-up that fails has its steps as well, and grows while it runs."""
    with unreachable() as url:
        exchange = runner.pool(library).send(url, connect=30)

        def running() -> bool:
            reading = telemetry.now()
            return reading.current("connecting") == 1 and reading.steps()["connect"] > DELAY / 5

        wait_until(running)
    # Without the listener, the next SYN is refused; it is sent a second after the first.
    assert isinstance(exchange.failure(), library.raises("connection_error"))
    assert_steps(telemetry, connect=exchange.duration)


def test_slow_tunnel_is_in_proxy(runner, library, listen, certificates, telemetry):
    """A proxy answers late, then the handshake with the origin begins."""
    proxy = listen(HTTPProxy, tunnel_after=DELAY)
    server = listen(HTTP1Server, tls=certificates.server())
    pool = runner.pool(
        library, proxy=library.core.Proxy(proxy.origin), ssl_context=certificates.client()
    )
    pool.get(server.url())
    assert_steps(telemetry, proxy=DELAY)


def test_slow_handshake_is_in_tls(runner, library, listen, certificates, telemetry):
    """The server's side of the handshake is late."""
    server = listen(HTTP1Server, tls=certificates.server(), setup_after=DELAY)
    runner.pool(library, ssl_context=certificates.client()).get(server.url())
    assert_steps(telemetry, tls=DELAY)


def test_slow_socks_proxy_is_in_proxy_or_not_shown(
    runner, library, listen, certificates, telemetry
):
    """urllib3 leaves it to PySocks, which resolves, connects and negotiates in one function."""
    proxy = listen(SOCKSProxy, tunnel_after=DELAY)
    url = proxy.origin.replace("http:", "socks5:")
    pool = runner.pool(library, proxy=library.core.Proxy(url))
    pool.get(listen(HTTP1Server).url())
    assert_steps(telemetry, **{"other" if library.name == "urllib3" else "proxy": DELAY})


def get_without_a_thread(
    runner: Runner, pool: PoolUnderTest, url: str, telemetry: Telemetry
) -> float:
    """Send a request while the executor's only thread is busy; return the seconds of the wait."""
    free = threading.Event()

    async def fill() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        loop.run_in_executor(None, free.wait, PATIENCE)

    assert runner.portal is not None
    runner.portal.call(fill)
    exchange = pool.send(url)
    wait_until(lambda: telemetry.current("connecting") == 1)
    wait_until(lambda: time.monotonic() > exchange.entered + DELAY)
    waited = time.monotonic() - exchange.entered
    free.set()
    exchange.finish()
    return waited


@pytest.mark.modes("asyncio")
@pytest.mark.all_pairs
def test_wait_for_a_thread_is_separate_from_resolving(runner, library, listen, telemetry):
    """Snapshots and findings separate the two; the metric counts both as ``resolve``."""
    server = listen(HTTP1Server)
    url = named(server.url())
    waited = get_without_a_thread(runner, runner.pool(library), url, telemetry)
    assert_steps(telemetry, resolve=waited)
    (origin,) = snapshot().totals[0].origins
    assert origin.set_up_seconds["thread"] > waited - LATENESS.beside(SLACK)
    assert origin.set_up_seconds["resolve"] < waited


@pytest.mark.only("httpx")
@pytest.mark.modes("asyncio")
@pytest.mark.parametrize("cause", ["resolver", "executor"])
def test_slow_resolver_and_full_executor_have_findings_of_their_own(
    request, runner, library, listen, untouched, cause
):
    """Both slow down the same call; connections that are not kept are not the cause."""
    if cause == "resolver":
        request.getfixturevalue("slow_name")
    instrument(untouched)
    server = listen(HTTP1Server)
    pool = runner.pool(library, max_keepalive_connections=0)
    for _ in range(3):
        pool.get(server.url())
    before = snapshot()
    for _ in range(5):
        if cause == "executor":
            get_without_a_thread(runner, pool, named(server.url()), untouched)
        else:
            pool.get(named(server.url()))
    found = [f for f in diagnose(snapshot(), before) if f.severity is not Severity.INFO]
    kind = Kind.SLOW_CONNECTING if cause == "resolver" else Kind.EXECUTOR_FULL
    assert [finding.kind for finding in found] == [kind]
    name = "resolving the name" if cause == "resolver" else "waiting for a thread"
    assert f"of it {name}" in found[0].observed


@pytest.mark.modes("asyncio")
def test_uvloop_resolves_in_threads_of_its_own(library, listen, telemetry):
    """uvloop resolves in C: the test cannot delay it, and its threads are not observed."""
    uvloop = pytest.importorskip("uvloop")
    server = listen(HTTP1Server, setup_after=DELAY)
    with start_blocking_portal("asyncio", {"loop_factory": uvloop.new_event_loop}) as portal:
        runner = Runner("asyncio", portal)
        pool = runner.pool(library)
        pool.get(named(server.url()))
        pool.close()
    (origin,) = snapshot().totals[0].origins
    steps = origin.set_up_seconds
    assert steps["resolve"] > 0
    assert steps["connect"] > 0
    assert steps["thread"] == 0
    assert_near(steps["other"], 0.0)


@pytest.mark.parametrize("error", [None, "name_resolution_error"])
def test_full_metrics_have_the_look_up(slow_name, runner, library, listen, untouched, error):
    """An address needs none. A name is looked up once per connection, also if it fails."""
    instrument(untouched, metrics="full")
    server = listen(HTTP1Server)
    pool = runner.pool(library)
    pool.get(server.url())
    assert not untouched.points(semconv.DNS_LOOKUP_DURATION)
    if error is None:
        pool.get(named(server.url()))
    else:
        assert pool.send(UNRESOLVABLE, connect=5).failure()
    (point,) = untouched.points(semconv.DNS_LOOKUP_DURATION)
    assert point.count == 1
    assert point.attributes.get(semconv.ERROR_TYPE) == error
    name = NAME if error is None else "nonexistent.invalid"
    assert point.attributes[semconv.DNS_QUESTION_NAME] == name
    if error is None:
        assert point.sum >= DELAY


def test_resolvers_are_restored_and_keep_nothing(runner, library, listen, untouched):
    """``uninstrument()`` restores the functions, and no hook refers to a pool."""
    original = socket.getaddrinfo, vars(asyncio.BaseEventLoop)["getaddrinfo"]
    instrument(untouched)
    server = listen(HTTP1Server)
    pool = runner.pool(library)
    pool.get(named(server.url()))
    reference = weakref.ref(pool.core)
    pool.close()
    runner.pools.clear()
    del pool
    wait_until(lambda: (gc.collect(), reference() is None)[1])
    GlueLLMInstrumentor().uninstrument()
    assert (socket.getaddrinfo, vars(asyncio.BaseEventLoop)["getaddrinfo"]) == original


@pytest.mark.only("httpx")
@pytest.mark.all_pairs
@pytest.mark.modes("asyncio", "trio")
@pytest.mark.parametrize("how", ["gone", "changed"])
def test_resolver_without_its_hook_costs_that_step_only(
    slow_name, monkeypatch, runner, library, listen, untouched, how
):
    """The set-up is timed as before. On trio, the blocking function below is still observed."""
    asyncios, trios = anyio._backends._asyncio.AsyncIOBackend, trio._highlevel_open_tcp_stream
    other = {"asyncio": asyncios.getaddrinfo, "trio": trios.getaddrinfo}[runner.mode]
    if how == "gone":
        monkeypatch.setattr(asyncios.__base__, "getaddrinfo", None)
        monkeypatch.setattr(asyncios, "getaddrinfo", None)
        monkeypatch.setattr(trios, "getaddrinfo", None)
    instrument(untouched)
    # The library has another function instead.
    if runner.mode == "asyncio":
        monkeypatch.setattr(asyncios, "getaddrinfo", other)
    else:
        monkeypatch.setattr(trios, "getaddrinfo", other)
    runner.pool(library).get(named(listen(HTTP1Server).url()))
    assert_steps(untouched, **{"other" if runner.mode == "asyncio" else "resolve": DELAY})
    missing = [hook for hook in snapshot().process.missing_hooks if hook.startswith("httpx:")]
    assert missing == (["httpx: resolve"] if how == "gone" else [])
    assert untouched.value(semconv.HOOK_MISSING, hook_library="httpx") == len(missing)

"""Rules for urllib3: its objects, its finalizers, its clients."""

import gc
import queue
import threading

import requests
import urllib3

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv


def test_equal_connections_without_a_hash_are_counted_separately(server, telemetry, capsys):
    """Their class is the application's, whose methods the package does not call."""

    class Connection(urllib3.connection.HTTPConnection):
        def __eq__(self, other: object) -> bool:
            return isinstance(other, Connection)

        __hash__ = None  # type: ignore[assignment]

    class Pool(urllib3.HTTPConnectionPool):
        ConnectionCls = Connection

    pool = Pool("127.0.0.1", server.port, maxsize=2)
    held = [pool.urlopen("GET", "/", preload_content=False) for _ in range(2)]
    assert telemetry.value(semconv.OPEN_CONNECTIONS, state="active") == 2
    for response in held:
        response.read()
        response.release_conn()
    assert telemetry.value(semconv.OPEN_CONNECTIONS, state="idle") == 2
    del held, response, pool
    gc.collect()
    assert telemetry.value(semconv.OPEN_CONNECTIONS) == 0
    assert telemetry.value(semconv.INSTRUMENTATION_ERRORS) == 0
    assert capsys.readouterr().err == ""


def test_without_threads_only_the_executor_hook_is_off(server, instrument, monkeypatch):
    """A container may limit threads, and none may be left for the package."""
    start = threading.Thread.start

    def refused(thread: threading.Thread) -> None:
        if thread.name.startswith("ThreadPoolExecutor"):
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused)
        telemetry = instrument()
    assert snapshot().process.missing_hooks == ("urllib3: executor",)
    assert telemetry.value(semconv.HOOK_MISSING, hook_library="urllib3") == 1
    with urllib3.PoolManager() as manager:
        manager.request("GET", server.url())
    assert telemetry.count(semconv.LEASE_DURATION) == 1


def test_uninstrument_while_a_pool_for_a_proxy_is_built_is_no_failure(instrument):
    """The pool's hook is then removed, not missing."""

    class Queue(queue.LifoQueue):
        def __init__(self, size: int) -> None:
            super().__init__(size)
            GlueLLMInstrumentor().uninstrument()  # as another thread may do at this moment

    class Pool(urllib3.HTTPConnectionPool):
        QueueCls = Queue

    instrument()
    Pool("127.0.0.1", _proxy=urllib3.util.parse_url("http://127.0.0.1"))
    telemetry = instrument()
    assert telemetry.points(semconv.INSTRUMENTATION_ERRORS) == []


def test_requests_sessions_are_observed(server, instrument):
    """Their pools are urllib3's, so scope "all" or instrument_client() observes them."""
    telemetry = instrument(scope="llm")
    with requests.Session() as session:
        session.trust_env = False
        assert session.get(server.url()).text == "ok"
        assert telemetry.points(semconv.POOL_OPENED) == []
        GlueLLMInstrumentor().instrument_client(session, pool_name="mine")
        session.get(server.url())
        assert telemetry.by(semconv.REQUESTS, "name", "library") == {("mine", "urllib3"): 1}
        GlueLLMInstrumentor().uninstrument_client(session)
        session.get(server.url())
        assert telemetry.value(semconv.REQUESTS, name="mine") == 1
        assert telemetry.value(semconv.POOL_LIVE) == 0

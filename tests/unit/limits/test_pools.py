"""Limits in the constructors of the libraries, and own failures there."""

import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from unittest.mock import Mock

import aiohttp
import httpcore
import httpcore2
import pytest
import urllib3

from opentelemetry.instrumentation.gluellm.adapters.marks import LIMITS_FROM, POOL_TIMEOUT
from opentelemetry.instrumentation.gluellm.limits import pools as pools_module
from opentelemetry.instrumentation.gluellm.limits.pools import PoolLimits
from opentelemetry.instrumentation.gluellm.limits.scope import LimitedCall, current_limits
from opentelemetry.instrumentation.gluellm.limits.settings import Value

pytestmark = pytest.mark.anyio

LIMITS = {
    "max_connections": Value(3),
    "max_keepalive_connections": Value(2),
    "keepalive_expiry": Value(4.5),
    "pool_timeout": Value(0.5),
}


@pytest.fixture
def errors() -> list[str]:
    return []


@pytest.fixture
def installed(errors: list[str]) -> Iterator[PoolLimits]:
    """The patches, taken back in the end; there was no own failure."""
    limits = PoolLimits(lambda kind, _: errors.append(kind))
    limits.install()
    yield limits
    limits.uninstall()
    assert errors == []


@contextmanager
def inside(limits: dict[str, Value] = LIMITS, **more: Any) -> Iterator[LimitedCall]:
    """An any-llm call in which pools get these limits."""
    call = LimitedCall("openai", limits=limits, **more)
    token = current_limits.set(call)
    yield call
    current_limits.reset(token)
    call.ended = True


CORES = pytest.mark.parametrize("core", [httpcore, httpcore2], ids=lambda core: core.__name__)


@CORES
@pytest.mark.parametrize("kind", ["", "Async"])
def test_limits_apply_to_httpcore_pools_and_their_proxies(
    core: Any, kind: str, installed: PoolLimits
) -> None:
    """Arguments are given by keyword, by position and by default."""
    make = getattr(core, f"{kind}ConnectionPool")
    proxies = [getattr(core, f"{kind}{proxy}Proxy") for proxy in ("HTTP", "SOCKS")]
    with inside():
        for pool in (
            make(),
            make(max_connections=50, keepalive_expiry=9.0),
            make(None, None, 50, 40),
            *(proxy("http://127.0.0.1:9", max_connections=50) for proxy in proxies),
        ):
            assert (pool._max_connections, pool._max_keepalive_connections) == (3, 2)
            assert (pool._keepalive_expiry, getattr(pool, POOL_TIMEOUT)) == (4.5, 0.5)
            assert "max_connections=3" in getattr(pool, LIMITS_FROM)
    assert make(max_connections=50)._max_connections == 50
    with inside({"keepalive_expiry": Value(1.5)}):  # the others stay as the SDK set them
        pool = make(max_connections=50, max_keepalive_connections=40)
    assert (pool._max_connections, pool._max_keepalive_connections) == (50, 40)
    assert (pool._keepalive_expiry, getattr(pool, POOL_TIMEOUT)) == (1.5, None)


async def test_limits_apply_to_aiohttp_connectors(installed: PoolLimits) -> None:
    """Every kind of connector. One that keeps no connections gets no expiry."""

    with inside():
        for connector in (aiohttp.TCPConnector(limit=0), aiohttp.UnixConnector("/tmp/none")):
            assert (connector.limit, connector._keepalive_timeout) == (3, 4.5)
            await connector.close()
        once = aiohttp.TCPConnector(force_close=True)
        assert (once.limit, once._keepalive_timeout) == (3, None)
        assert getattr(once, LIMITS_FROM) == "configure_pools(max_connections=3)"
        await once.close()
        async with aiohttp.ClientSession() as session:
            assert session.connector is not None
            assert session.connector.limit == 3


def test_limits_apply_to_urllib3_pools(installed: PoolLimits) -> None:
    """One number sets both; a bound on idle connections alone allows any number of open ones."""
    with inside():
        manager = urllib3.PoolManager(10, maxsize=50)
        proxy = urllib3.ProxyManager("http://127.0.0.1:9", maxsize=50)
    with inside({"max_keepalive_connections": Value(2), "pool_timeout": Value(1)}):
        unblocked = urllib3.PoolManager()
    for each, number, block, timeout in (
        (manager, 3, True, 0.5),
        (proxy, 3, True, 0.5),
        (unblocked, 2, False, None),
    ):
        pool = each.connection_from_url("http://127.0.0.1:9")  # outside the call
        assert pool.pool is not None
        assert (pool.pool.maxsize, pool.block) == (number, block)
        assert getattr(pool, POOL_TIMEOUT) == timeout
        assert getattr(pool, LIMITS_FROM)


def test_pool_timeout_applies_to_urllib3_requests(installed: PoolLimits) -> None:
    """A timeout given with the request wins."""
    with inside({"max_connections": Value(1), "pool_timeout": Value(0.01)}):
        manager = urllib3.PoolManager()
    pool = manager.connection_from_url("http://127.0.0.1:9")
    assert pool.pool is not None
    pool.pool.get()  # its only connection is in use
    with pytest.raises(urllib3.exceptions.EmptyPoolError):
        pool.urlopen("GET", "/", retries=False)
    asked: list[float | None] = []

    def get(timeout: float | None = None) -> Any:
        asked.append(timeout)
        raise urllib3.exceptions.EmptyPoolError(pool, "none")

    pool._get_conn = get  # type: ignore[method-assign]
    further: list[dict[str, Any]] = [{}, {"pool_timeout": 7}, {"pool_timeout": None}]
    for more in further:
        with pytest.raises(urllib3.exceptions.EmptyPoolError):
            pool.urlopen("GET", "/", retries=False, **more)
    assert asked == [0.01, 7, 0.01]


@CORES
def test_pool_timeout_applies_to_httpcore_requests(core: Any, installed: PoolLimits) -> None:
    """Other timeouts and extensions stay, and the caller's dict is not changed."""
    with inside():
        pool = core.ConnectionPool()

    def asked(extensions: dict[str, Any], **more: Any) -> Any:
        request = core.Request("GET", "unknown://127.0.0.1/", extensions=extensions)
        with inside(**more), pytest.raises(core.UnsupportedProtocol):
            pool.handle_request(request)
        return request.extensions

    given = {"timeout": {"connect": 1, "pool": 600}, "sni_hostname": "a"}
    assert asked(given) == {"timeout": {"connect": 1, "pool": 0.5}, "sni_hostname": "a"}
    assert given["timeout"] == {"connect": 1, "pool": 600}
    assert asked({}) == {"timeout": {"pool": 0.5}}
    assert asked({"timeout": None}) == {"timeout": {"pool": 0.5}}
    assert asked(given, own_timeout=True) == given


def test_ended_call_sets_no_limits(installed: PoolLimits) -> None:
    """A task that outlives its call still has the call in its context."""
    with inside() as call:
        call.ended = True
        assert httpcore.ConnectionPool(max_connections=50)._max_connections == 50
    with inside({}):
        pool = httpcore.ConnectionPool(max_connections=50)
    assert (pool._max_connections, getattr(pool, LIMITS_FROM)) == (50, None)


@pytest.mark.parametrize("name", ["__init__", "handle_request"])
def test_replacement_that_can_not_be_removed_does_nothing(name: str, errors: list[str]) -> None:
    """Third-party code wrapped it, so uninstalling leaves it in place."""
    limits = PoolLimits(lambda kind, _: errors.append(kind))
    limits.install()
    with inside():
        pool = httpcore.ConnectionPool()
    ours = vars(httpcore.ConnectionPool)[name]

    def foreign(*args: Any, **kwargs: Any) -> Any:
        return ours(*args, **kwargs)

    setattr(httpcore.ConnectionPool, name, foreign)
    try:
        limits.uninstall()
        with inside():
            assert httpcore.ConnectionPool(max_connections=50)._max_connections == 50
        request = httpcore.Request("GET", "unknown://127.0.0.1/")
        with pytest.raises(httpcore.UnsupportedProtocol):
            pool.handle_request(request)
        assert request.extensions == {}
    finally:
        setattr(httpcore.ConnectionPool, name, ours.__wrapped__)
    assert errors == []


@pytest.fixture
def failing(errors: list[str]) -> Iterator[PoolLimits]:
    """The same for what will fail."""
    limits = PoolLimits(lambda kind, _: errors.append(kind))
    limits.install()
    yield limits
    limits.uninstall()


@pytest.mark.parametrize("broken", ["_for_httpcore", "_mark_pool", "_with_pool_timeout"])
def test_own_failure_does_not_affect_the_pool_or_its_requests(
    broken: str, failing: PoolLimits, errors: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool is built and the request sent as without limits."""
    failing.uninstall()
    monkeypatch.setattr(pools_module, broken, Mock(side_effect=ZeroDivisionError))
    failing.install()
    with inside():
        pool = httpcore.ConnectionPool(max_connections=50)
    request = httpcore.Request("GET", "unknown://127.0.0.1/")
    with pytest.raises(httpcore.UnsupportedProtocol):
        pool.handle_request(request)
    assert pool._max_connections == (50 if broken == "_for_httpcore" else 3)
    assert len(errors) == 1


def test_library_without_a_needed_name_gets_no_limits(
    failing: PoolLimits, errors: list[str]
) -> None:
    """Limits of the other libraries still apply."""
    failing._patch(ModuleType("httpcore"))
    failing._patch(ModuleType("urllib3"))
    assert errors == ["limits.httpcore", "limits.urllib3"]
    with inside():
        assert httpcore2.ConnectionPool()._max_connections == 3


def test_exception_of_the_constructor_is_raised_once(failing: PoolLimits) -> None:
    with inside(), pytest.raises(TypeError, match="no_such_argument"):
        httpcore.ConnectionPool(no_such_argument=1)
    with inside(), pytest.raises(TypeError, match="num_pools"):
        urllib3.PoolManager(10, num_pools=4)  # type: ignore[misc]


def test_pool_of_a_third_party_class_is_built(installed: PoolLimits) -> None:
    """A urllib3 manager can be configured to build such pools."""

    class Pool:
        def __init__(self, *_: Any, **settings: Any) -> None:
            self.settings = settings

        def close(self) -> None:
            pass

    with inside():
        manager = urllib3.PoolManager()
    manager.pool_classes_by_scheme = {"http": Pool}  # type: ignore[dict-item]
    pool: Any = manager.connection_from_url("http://127.0.0.1:9")
    assert pool.settings["maxsize"] == 3


def test_limits_keep_no_pool_or_manager_alive(installed: PoolLimits) -> None:
    """The notes on a pool and a manager keep neither alive."""
    with inside():
        made = [httpcore.ConnectionPool(), urllib3.PoolManager()]
    known = [weakref.ref(each) for each in made]
    del made
    gc.collect()
    assert [each() for each in known] == [None, None]

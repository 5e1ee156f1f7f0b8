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
def limits(errors: list[str]) -> Iterator[PoolLimits]:
    """The patches, which are uninstalled at the end."""
    made = PoolLimits(lambda kind, _: errors.append(kind))
    yield made
    made.uninstall()


@pytest.fixture
def installed(limits: PoolLimits, errors: list[str]) -> Iterator[None]:
    """The patches are installed, and count no failure."""
    limits.install()
    yield
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
def test_limits_apply_to_httpcore_pools_and_their_proxies(core, kind, installed):
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


async def test_limits_apply_to_aiohttp_connectors(installed):
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
            assert session.connector.limit == 3


def test_limits_apply_to_urllib3_pools(installed):
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
        assert (pool.pool.maxsize, pool.block) == (number, block)
        assert getattr(pool, POOL_TIMEOUT) == timeout
        assert getattr(pool, LIMITS_FROM)


def test_pool_timeout_applies_to_urllib3_requests(installed):
    """A timeout given with the request wins."""
    with inside({"max_connections": Value(1), "pool_timeout": Value(0.01)}):
        manager = urllib3.PoolManager()
    pool = manager.connection_from_url("http://127.0.0.1:9")
    pool.pool.get()  # its only connection is in use
    with pytest.raises(urllib3.exceptions.EmptyPoolError):
        pool.urlopen("GET", "/", retries=False)
    asked = []

    def get(timeout=None):
        asked.append(timeout)
        raise urllib3.exceptions.EmptyPoolError(pool, "none")

    pool._get_conn = get
    further = [{}, {"pool_timeout": 7}, {"pool_timeout": None}]
    for more in further:
        with pytest.raises(urllib3.exceptions.EmptyPoolError):
            pool.urlopen("GET", "/", retries=False, **more)
    assert asked == [0.01, 7, 0.01]


@CORES
def test_pool_timeout_applies_to_httpcore_requests(core, installed):
    """Other timeouts and extensions stay, and the caller's dict is not changed."""
    with inside():
        pool = core.ConnectionPool()

    def asked(extensions, **more):
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


def test_ended_call_sets_no_limits(installed):
    """A task that outlives its call still has the call in its context."""
    with inside() as call:
        call.ended = True
        assert httpcore.ConnectionPool(max_connections=50)._max_connections == 50
    with inside({}):
        pool = httpcore.ConnectionPool(max_connections=50)
    assert (pool._max_connections, getattr(pool, LIMITS_FROM)) == (50, None)


@pytest.mark.parametrize("name", ["__init__", "handle_request"])
def test_replacement_that_can_not_be_removed_does_nothing(name, limits, errors):
    """Third-party code wrapped it, so uninstalling leaves it in place."""
    limits.install()
    with inside():
        pool = httpcore.ConnectionPool()
    ours = vars(httpcore.ConnectionPool)[name]

    def foreign(*args, **kwargs):
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


@pytest.mark.parametrize("broken", ["_for_httpcore", "_mark_pool", "_with_pool_timeout"])
def test_own_failure_does_not_affect_the_pool_or_its_requests(broken, limits, errors, monkeypatch):
    """The pool is built and the request is sent."""
    monkeypatch.setattr(pools_module, broken, Mock(side_effect=ZeroDivisionError))
    limits.install()
    with inside():
        pool = httpcore.ConnectionPool(max_connections=50)
    request = httpcore.Request("GET", "unknown://127.0.0.1/")
    with pytest.raises(httpcore.UnsupportedProtocol):
        pool.handle_request(request)
    assert pool._max_connections == (50 if broken == "_for_httpcore" else 3)
    assert len(errors) == 1


def test_library_without_a_needed_name_gets_no_limits(limits, errors):
    """Limits of the other libraries still apply."""
    limits.install()
    limits._patch(ModuleType("httpcore"))
    limits._patch(ModuleType("urllib3"))
    assert errors == ["limits.httpcore", "limits.urllib3"]
    with inside():
        assert httpcore2.ConnectionPool()._max_connections == 3


def test_exception_of_the_constructor_is_raised_once(limits):
    limits.install()
    with inside(), pytest.raises(TypeError, match="no_such_argument"):
        httpcore.ConnectionPool(no_such_argument=1)
    with inside(), pytest.raises(TypeError, match="num_pools"):
        urllib3.PoolManager(10, num_pools=4)


def test_pool_of_a_third_party_class_is_built(installed):
    """A urllib3 manager can be configured to build such pools."""

    class Pool:
        def __init__(self, *_, **settings):
            self.settings = settings

        def close(self):
            pass

    with inside():
        manager = urllib3.PoolManager()
    manager.pool_classes_by_scheme = {"http": Pool}
    pool = manager.connection_from_url("http://127.0.0.1:9")
    assert pool.settings["maxsize"] == 3


def test_limits_keep_no_pool_or_manager_alive(installed):
    """The notes on a pool and a manager keep neither alive."""
    with inside():
        made = [httpcore.ConnectionPool(), urllib3.PoolManager()]
    known = [weakref.ref(each) for each in made]
    del made
    gc.collect()
    assert [each() for each in known] == [None, None]

"""uninstrument() restores the libraries' objects, but keeps wrappers of third parties."""

import functools
import importlib
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.libraries import Library

from .conftest import BOTH

PACKAGES = ("httpcore", "httpcore2", "aiohttp", "urllib3", "grpc")


@pytest.mark.parametrize(
    "packages", [PACKAGES, pytest.param(("botocore",), marks=pytest.mark.all_sdks)]
)
def test_uninstrument_restores_the_identical_objects(packages, instrument):
    """The test covers the libraries' classes and botocore's subclasses of them."""
    for module in (*packages, "grpc._channel", "grpc.aio"):
        importlib.import_module("botocore.awsrequest" if module == "botocore" else module)

    def attributes() -> dict[tuple[type, str], Any]:
        modules = [m for name, m in sys.modules.items() if name.partition(".")[0] in packages]
        owners = {o for m in modules for o in list(vars(m).values()) if isinstance(o, type)}
        return {
            (owner, key): value
            for owner in owners
            if owner.__module__.partition(".")[0] in packages
            for key, value in vars(owner).items()
            if not key.startswith(("_gluellm", "_abc"))
        }

    before = attributes()
    for _ in range(2):
        instrument()
        during = attributes()
        changed = Counter(
            owner.__module__.partition(".")[0]
            for (owner, key), value in before.items()
            if during[owner, key] is not value
        )
        assert all(n >= (10 if packages is PACKAGES else 2) for n in changed.values()), changed
        assert changed.keys() == set(packages)
        GlueLLMInstrumentor().uninstrument()
        after = attributes()
        assert after.keys() == before.keys()
        assert [key for key, value in before.items() if after[key] is not value] == []


@pytest.fixture
def untouched_pools(library: Library) -> Iterator[None]:
    """Restore the pools' method after the test, even if another wrapper replaced it."""
    pools = library.core.ConnectionPool
    original = pools.handle_request
    yield
    pools.handle_request = original


@BOTH
@pytest.mark.usefixtures("untouched_pools")
def test_third_party_wrapper_of_a_hook_stays(threads, library, server, instrument):
    """The hook below it stays as well. It passes requests through, and never counts twice."""
    telemetry = instrument()
    pools = library.core.ConnectionPool
    ours = pools.handle_request
    calls = []

    @functools.wraps(ours)
    def theirs(self: Any, request: Any) -> Any:
        calls.append(request)
        return ours(self, request)

    pool = threads.pool(library)
    pools.handle_request = theirs
    pool.get(server.url())
    GlueLLMInstrumentor().uninstrument()
    assert pools.handle_request is theirs
    pool.get(server.url())
    assert telemetry.points(semconv.REQUESTS) == []
    instrument()
    pool.get(server.url())
    assert telemetry.value(semconv.REQUESTS) == 2
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0
    assert telemetry.count(semconv.LEASE_DURATION) == 2
    assert telemetry.count(semconv.ACQUIRE_DURATION) == 2
    assert len(calls) == 3
    GlueLLMInstrumentor().uninstrument()
    assert pools.handle_request is theirs

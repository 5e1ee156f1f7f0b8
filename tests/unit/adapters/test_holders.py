"""The search for pools inside an SDK's client."""

from types import SimpleNamespace
from typing import Any

from opentelemetry.instrumentation.gluellm.adapters.holders import first_held


def pools(holder: Any) -> list[Any]:
    return list(getattr(holder, "pools", ()))


def test_first_object_with_pools_is_used():
    """Clients inside it are not searched."""
    inner = SimpleNamespace(pools=["b"])
    outer = SimpleNamespace(client=SimpleNamespace(pools=["a"], client=inner))
    assert first_held(outer, pools, ("client",)) == ["a"]


def test_methods_are_not_followed():
    """boto3's session has a method of the name that other SDKs give to their client."""

    class Client:
        _client = SimpleNamespace(pools=["a"])

        def client(self): ...

    assert first_held(Client(), pools, ("client", "_client")) == ["a"]


def test_search_ends_in_a_circle_of_clients():
    """A client may refer to the client that holds it."""
    client = SimpleNamespace()
    client.client = client
    assert first_held(client, pools, ("client",)) == []

"""Where a client that runs on urllib3 has its pools."""

from __future__ import annotations

from typing import Any

from .pools import pools_of

_DEPTH = 4
_INSIDE = ("_endpoint", "http_session", "rest_client", "_api", "_client", "client")
"""boto3 and botocore: ``client._endpoint.http_session``; clients that OpenAPI's generator has made:
``api_client.rest_client``; SDKs that hold one of these."""


def pools_in(client: Any) -> list[Any]:
    """The pools of a pool manager, of a client of botocore or requests, or the pool itself.

    A manager is among them: the pools that it is yet to build are tracked as its own. Empty for
    anything else.
    """
    found = _held_by(client)
    holder = client
    for _ in range(_DEPTH):
        if found:
            break
        following = (getattr(holder, name, None) for name in _INSIDE)
        holder = next((inner for inner in following if inner is not None), None)
        if holder is None:
            break
        found = _held_by(holder)
    return found


def _held_by(holder: Any) -> list[Any]:
    if _is_pool(holder):
        return [holder]
    managers = [holder] if _is_manager(holder) else []
    for name in ("_manager", "pool_manager", "poolmanager"):  # botocore, OpenAPI, requests' adapter
        managers.append(getattr(holder, name, None))
    for name in ("_proxy_managers", "proxy_manager"):
        found = getattr(holder, name, None)
        managers.extend(found.values() if isinstance(found, dict) else ())
    adapters = getattr(holder, "adapters", None)  # of a requests.Session
    if isinstance(adapters, dict):
        return [pool for adapter in adapters.values() for pool in _held_by(adapter)]
    # What builds further managers with a request: those behind a proxy.
    pools: list[Any] = [holder] if hasattr(holder, "_get_proxy_manager") else []
    for manager in managers:
        if _is_manager(manager):
            pools.extend((manager, *pools_of(manager)))
    return pools


def _is_pool(thing: Any) -> bool:
    return hasattr(thing, "_get_conn") and hasattr(thing, "_put_conn")


def _is_manager(thing: Any) -> bool:
    return hasattr(thing, "connection_from_url") and hasattr(
        getattr(thing, "pools", None), "_container"
    )

"""Pools of clients that run on urllib3."""

from __future__ import annotations

from typing import Any

from ..holders import first_held

_INSIDE = ("_endpoint", "http_session", "rest_client", "_api", "_client", "client")
"""Attributes that lead to a pool. boto3 and botocore: ``client._endpoint.http_session``; clients
made by OpenAPI Generator: ``api_client.rest_client``; SDK clients that hold one of these."""


def urllib3_pools(client: Any) -> list[Any]:
    """The pools of a pool manager, or of a client of botocore or requests.

    Managers are included, since the pools that they build later inherit their owner. For a pool,
    the pool itself. Empty for anything else.
    """
    return first_held(client, _held_by, _INSIDE)


def _held_by(holder: Any) -> list[Any]:
    if hasattr(holder, "_get_conn") and hasattr(holder, "_put_conn"):
        return [holder]  # a pool
    managers = [holder] if _is_manager(holder) else []
    for name in ("_manager", "pool_manager", "poolmanager"):  # botocore, OpenAPI, requests' adapter
        managers.append(getattr(holder, name, None))
    for name in ("_proxy_managers", "proxy_manager"):
        found = getattr(holder, name, None)
        managers.extend(found.values() if isinstance(found, dict) else ())
    adapters = getattr(holder, "adapters", None)  # of a requests.Session
    if isinstance(adapters, dict):
        return [pool for adapter in adapters.values() for pool in _held_by(adapter)]
    # botocore's HTTP session builds the managers for proxies later, with a request.
    pools: list[Any] = [holder] if hasattr(holder, "_get_proxy_manager") else []
    for manager in managers:
        if _is_manager(manager):
            pools.extend((manager, *pools_of_manager(manager)))
    return pools


def _is_manager(thing: Any) -> bool:
    return hasattr(thing, "connection_from_url") and hasattr(
        getattr(thing, "pools", None), "_container"
    )


def pools_of_manager(manager: Any) -> tuple[Any, ...]:
    """The pools that a manager has now, read without its lock."""
    return tuple(manager.pools._container.values())

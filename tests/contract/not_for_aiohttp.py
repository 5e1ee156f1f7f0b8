"""Scenarios that do not apply to aiohttp, each with the reason."""

from __future__ import annotations

import importlib

_HTTP2 = "it speaks HTTP/1.1 only"

REASONS: dict[str, str] = {
    "test_http2.py": _HTTP2,
    "test_load.py::test_numbers_agree_under_load_on_http2": _HTTP2,
    "test_pool_end.py::test_closed_pool_serves_again": "a closed connector refuses requests",
    "test_pool_end.py::test_connection_of_a_closed_pool_that_serves_again_is_closed_once": (
        "a closed connector refuses requests"
    ),
    "test_pool_end.py::test_garbage_collected_pool_with_an_open_response": (
        "its event loop keeps a response that is under way, and with it the connector; "
        "test_aiohttp_pools.py has what happens"
    ),
    "test_pool_end.py::test_pool_closed_under_a_waiter": (
        "a connector that is closed cancels who waits; test_aiohttp_pools.py has it"
    ),
    "test_pool_end.py::test_reading_on_after_the_pool_was_closed": (
        "what a response meets once its connector was closed counts as no failure of it"
    ),
    "test_pool_end.py::test_waiter_of_a_closed_pool_that_serves_again": (
        "a closed connector refuses requests"
    ),
    "test_pool_end.py::test_waiter_of_a_pool_that_is_closed_twice": (
        "a closed connector refuses requests"
    ),
    "test_proxies.py::test_http2_through_a_proxy": _HTTP2,
    "test_response.py::test_write_timeout": "it has no timeout for sending",
    "test_reuse.py::test_eviction_below_the_keepalive_limit": (
        "it has no limit on idle connections"
    ),
    "test_reuse.py::test_eviction_for_another_origin": (
        "its limit does not count idle connections, so none goes to make room"
    ),
    "test_reuse.py::test_keepalive_limit": "it has no limit on idle connections",
    "test_reuse.py::test_keepalive_limit_of_a_full_pool": "it has no limit on idle connections",
    "test_saturation.py::test_http2_offered_and_http1_agreed": _HTTP2,
    "test_saturation.py::test_more_requests_than_streams": _HTTP2,
    "test_settings.py::test_full_metrics_of_a_stream": _HTTP2,
    "test_setup.py::test_connecting_is_tried_again": "it tries to connect once",
    "test_shared_setup.py": _HTTP2,
    "test_snapshot.py::test_snapshot_from_another_thread_under_load_on_http2": _HTTP2,
    "test_spans.py::test_request_that_waits_for_anothers_set_up_links_to_it": _HTTP2,
    "test_streams.py": _HTTP2,
    "test_upgrades.py::test_end_of_a_websocket_that_is_being_read": (
        "its WebSocket tells whoever reads it of its end by a message, and raises nothing"
    ),
}


def _keeps_refused_tunnels() -> bool:
    try:
        connector = importlib.import_module("aiohttp.connector")
    except ImportError:
        return False
    return not hasattr(connector, "_ConnectTunnelConnection")


if _keeps_refused_tunnels():
    REASONS["test_proxies.py::test_proxy_that_refuses"] = (
        "this version keeps a connection to a proxy that has refused as an idle one to the origin"
    )

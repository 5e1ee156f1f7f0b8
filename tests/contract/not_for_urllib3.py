"""Scenarios that do not apply to urllib3, each with the reason."""

from __future__ import annotations

_HTTP2 = "its HTTP/2 is an experiment that has to be injected, with one stream on a connection"

REASONS: dict[str, str] = {
    "test_anomalies.py::test_lost_connection_is_orphaned": (
        "it has no list of connections in use, in which one could be forgotten"
    ),
    "test_clients.py::test_proxy_of_a_client": (
        "a client with a proxy is a manager of its own, which test_proxies.py has"
    ),
    "test_http2.py": _HTTP2,
    "test_in_flight.py::test_set_up_in_flight_at_instrument": (
        "it has no list of connections in use, so one that is half made is not to be found"
    ),
    "test_interrupts.py::test_interrupted_while_queued": (
        "an interrupted wait gives back a place that it had not taken, so that the holder's own "
        "release fails; test_urllib3_queue.py has it"
    ),
    "test_load.py::test_numbers_agree_under_load_on_http2": _HTTP2,
    "test_pool_end.py::test_closed_pool_serves_again": (
        "a closed pool refuses requests; test_urllib3_pools.py has the manager, which builds anew"
    ),
    "test_pool_end.py::test_connection_of_a_closed_pool_that_serves_again_is_closed_once": (
        "a closed pool refuses requests; test_urllib3_pools.py has the manager, which builds anew"
    ),
    "test_pool_end.py::test_pool_closed_under_a_request": (
        "closing a pool leaves connections in use alone; test_urllib3_pools.py has what happens"
    ),
    "test_pool_end.py::test_pool_closed_under_a_waiter": (
        "who waits for a connection of a pool that is closed waits for ever, unless in time"
    ),
    "test_pool_end.py::test_reading_on_after_the_pool_was_closed": (
        "closing a pool leaves connections in use alone; test_urllib3_pools.py has what happens"
    ),
    "test_pool_end.py::test_waiter_of_a_closed_pool_that_serves_again": (
        "a closed pool refuses requests; test_urllib3_pools.py has the manager, which builds anew"
    ),
    "test_pool_end.py::test_waiter_of_a_pool_that_is_closed_twice": (
        "a closed pool refuses requests; test_urllib3_pools.py has the manager, which builds anew"
    ),
    "test_proxies.py::test_http2_through_a_proxy": _HTTP2,
    "test_reuse.py::test_eviction_below_the_keepalive_limit": "a pool has one origin",
    "test_reuse.py::test_eviction_for_another_origin": (
        "a pool has one origin; test_urllib3_pools.py has a manager that lets a pool go"
    ),
    "test_reuse.py::test_keepalive_expiry": "its idle connections don't expire",
    "test_saturation.py::test_http2_offered_and_http1_agreed": _HTTP2,
    "test_saturation.py::test_more_requests_than_streams": _HTTP2,
    "test_settings.py::test_full_metrics_of_a_stream": _HTTP2,
    "test_setup.py::test_connecting_is_tried_again": (
        "each try takes a connection of its own; test_urllib3_retries.py has them"
    ),
    "test_setup.py::test_unix_socket": "it has no connections over Unix sockets",
    "test_setup.py::test_unix_socket_that_nobody_serves": (
        "it has no connections over Unix sockets"
    ),
    "test_shared_setup.py": _HTTP2,
    "test_snapshot.py::test_snapshot_from_another_thread_under_load_on_http2": _HTTP2,
    "test_snapshot.py::test_snapshot_in_a_signal_handler_of_an_async_program": (
        "it has no async pools"
    ),
    "test_spans.py::test_request_that_waits_for_anothers_set_up_links_to_it": _HTTP2,
    "test_streams.py": _HTTP2,
    "test_upgrades.py": "it hands no connection over that has switched to another protocol",
}

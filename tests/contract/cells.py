"""Which scenario runs for which library, and why it does not where it doesn't.

A scenario is a test of this folder; it is named by its function, or by its file for all of a file.
What is in no list here runs.
"""

from __future__ import annotations

import importlib
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

LIBRARIES = ("httpx", "httpx2", "aiohttp", "urllib3", "grpc")
MODES: Mapping[str, tuple[str, ...]] = {
    "httpx": ("sync", "asyncio", "trio"),
    "httpx2": ("sync", "asyncio", "trio"),
    "aiohttp": ("asyncio",),
    "urllib3": ("sync",),
    "grpc": ("sync", "asyncio"),
}
"""The runners that a library's clients can run in."""
TWINS = ("httpx", "httpx2")
ALL_PAIRS = "CONTRACT_ALL_PAIRS"
"""Set in the environment, every scenario runs for both twins in every mode."""

_NOT_FOR: Mapping[str, Mapping[str, str]] = {
    "aiohttp": {
        "it speaks HTTP/1.1 only": """
            test_http2.py test_shared_setup.py test_http2_through_a_proxy
            test_numbers_agree_under_load_on_http2 test_http2_offered_and_http1_agreed
            test_more_requests_than_streams test_full_metrics_of_a_stream
            test_snapshot_under_load_on_http2 test_leak_beside_a_silent_stream
            test_request_links_to_the_set_up_it_waits_for""",
        "a closed connector refuses requests": """
            test_closed_pool_serves_again test_waiter_of_a_closed_pool_that_serves_again
            test_connection_made_by_a_closed_pool_is_closed_once
            test_waiter_of_a_pool_that_is_closed_twice""",
        "its event loop keeps a response in flight, and with it the connector; see "
        "test_abandoned_response_is_held_until_the_server_is_done": """
            test_garbage_collected_pool_with_an_open_response""",
        "closing a connector cancels the requests that wait; see "
        "test_closed_connector_cancels_waiting_requests": "test_pool_closed_under_a_waiter",
        "a response that ends because its connector was closed is no failure": """
            test_reading_on_after_the_pool_was_closed""",
        "it has no timeout for sending": "test_write_timeout",
        "it has no limit on idle connections": """
            test_eviction_below_the_keepalive_limit test_keepalive_limit
            test_keepalive_limit_of_a_full_pool""",
        "its limit does not count idle connections, so it evicts none": """
            test_eviction_for_another_origin""",
        "it tries to connect once": "test_connecting_is_tried_again",
        "its WebSocket reports its end as a message and raises nothing": """
            test_end_of_a_websocket_that_is_being_read""",
    },
    "urllib3": {
        "its HTTP/2 is an experiment that has to be injected, with one stream on a connection": """
            test_http2.py test_shared_setup.py test_http2_through_a_proxy
            test_numbers_agree_under_load_on_http2 test_http2_offered_and_http1_agreed
            test_more_requests_than_streams test_full_metrics_of_a_stream
            test_snapshot_under_load_on_http2 test_leak_beside_a_silent_stream
            test_request_links_to_the_set_up_it_waits_for""",
        "it has no list of connections in use": """
            test_lost_connection_is_orphaned test_set_up_in_flight_at_instrument""",
        "a client with a proxy is a manager of its own, as in test_proxies.py": """
            test_proxy_of_a_client""",
        "an interrupted wait gives back a place that it had not taken; see "
        "test_interrupted_wait_leaves_the_queue": "test_interrupted_while_queued",
        "a closed pool refuses requests; see test_cleared_manager_builds_anew": """
            test_closed_pool_serves_again test_waiter_of_a_closed_pool_that_serves_again
            test_connection_made_by_a_closed_pool_is_closed_once
            test_waiter_of_a_pool_that_is_closed_twice""",
        "closing a pool leaves connections in use alone; see "
        "test_pool_closed_under_a_request_lets_it_go_on": """
            test_pool_closed_under_a_request test_reading_on_after_the_pool_was_closed""",
        "a request that waits for a connection of a closed pool waits until its timeout": """
            test_pool_closed_under_a_waiter""",
        "a pool has one origin; see test_manager_lets_go_of_the_pool_that_was_used_least": """
            test_eviction_below_the_keepalive_limit test_eviction_for_another_origin""",
        "its idle connections don't expire": "test_keepalive_expiry",
        "each try takes a connection of its own; see test_each_try_is_a_request": """
            test_connecting_is_tried_again""",
        "it has no connections over Unix sockets": "test_unix_socket",
        "it has no async pools": "test_snapshot_in_a_handler_of_an_async_program",
        "it hands over no connection that has switched to another protocol": "test_upgrades.py",
    },
    "grpc": {
        "a channel has no limit on connections, so no request waits for a free one": """
            test_acquire.py test_saturation.py test_load.py
            test_lost_wake_up_is_a_waiter_beside_an_idle_connection test_lost_connection_is_orphaned
            test_timeout_that_does_not_come_is_an_overrun
            test_pool_that_is_full_for_long_has_none test_blocked_loop_does_not_hide_a_longer_wait
            test_client_with_limits test_in_flight_at_instrument test_in_flight_at_uninstrument
            test_no_request_is_queued_after_a_second_instrument test_interrupted_while_queued
            test_in_flight_over_a_second_instrument test_one_pause_does_not_hide_waiting_requests
            test_time_in_queue_is_of_waiters_only test_wait_span
            test_pool_closed_under_a_waiter""",
        "gRPC reports no connections; test_grpc_channels.py has what it reports": """
            test_snapshot.py test_pool_from_before_instrument_is_followed
            test_closed_pool test_garbage_collected_pool test_pool_closed_under_a_request
            test_garbage_collected_pool_with_an_open_response
            test_reading_on_after_the_pool_was_closed test_broken_off_on_a_reused_connection
            test_connection_close_was_asked_for test_keepalive_expiry test_keepalive_limit
            test_keepalive_limit_of_a_full_pool test_server_closes_an_idle_connection
            test_full_metrics_of_a_connection test_clean_up_of_idle_connections_is_no_error
            test_client_span_has_reuse_and_wait test_interrupted_before_the_head
            test_response_that_is_closed_twice""",
        "a closed channel refuses calls": """
            test_closed_pool_serves_again test_waiter_of_a_closed_pool_that_serves_again
            test_connection_made_by_a_closed_pool_is_closed_once
            test_waiter_of_a_pool_that_is_closed_twice""",
        "HTTP/2 is inside gRPC's core, which reports no streams and no limit on them": """
            test_http2.py test_full_metrics_of_a_stream test_leak_beside_a_silent_stream""",
        "a channel connects by itself, for all of its calls; test_grpc_channels.py has that": """
            test_shared_setup.py test_set_up_in_flight_at_instrument test_connect_timeout
            test_connecting_is_tried_again test_slow_set_up_is_connecting_and_no_wait
            test_setup_span test_request_links_to_the_set_up_it_waits_for""",
        "its statuses and deadlines are its own; test_grpc_calls.py has them": """
            test_statuses_are_no_failures test_write_timeout test_read_timeout_before_the_head
            test_phases_move_while_a_request_hangs""",
        "it takes a proxy from the environment only and reports nothing about it": """
            test_proxies.py test_proxy_of_a_client""",
        "it knows no redirects": "test_redirect_is_two_requests",
        "a channel has one origin": """
            test_eviction_below_the_keepalive_limit test_eviction_for_another_origin""",
        "it is about the object of an HTTP client; test_grpc_channels.py has a single channel": """
            test_single_client_has_the_name_that_it_was_given""",
        "the path of a Unix socket is not reported": "test_unix_socket",
        "a target's scheme says how its name is resolved, and any text is one": """
            test_unsupported_protocol_never_entered_the_pool""",
        "it hands over no connection that has switched to another protocol": "test_upgrades.py",
    },
}
"""By library and reason: the scenarios that do not apply."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One scenario for one library."""

    modes: tuple[str, ...]
    """The runners that it runs in; none where it does not apply."""
    reason: str = ""
    """Why it does not apply."""


def cells_of(metafunc: pytest.Metafunc) -> dict[str, Cell]:
    """A scenario's cells by library."""
    marks = {mark.name: mark for mark in reversed([*metafunc.definition.iter_markers()])}
    modes = marks["modes"].args if "modes" in marks else ("sync", "asyncio")
    only = marks["only"].args if "only" in marks else ()
    file, function = Path(str(metafunc.definition.path)).name, metafunc.function.__name__
    cells = {}
    for library in LIBRARIES:
        common = tuple(mode for mode in modes if mode in MODES[library])
        reasons = _REASONS.get(library, {})
        reason = reasons.get(function) or reasons.get(file) or ""
        if only:
            reason = "" if library in only else f"it is about what only {only[0]} has"
        elif not reason and not common:
            reason = f"it is about {' and '.join(modes)} clients, and {library} has none"
        cells[library] = Cell((), reason) if reason else Cell(common)
    return cells


def thinned(function: str, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Pairs of library and mode, without every second one of the twins.

    httpx and httpx2 share their hooks, and so do sync and async code. Each mode of a scenario runs
    for one of the two, which alternate from mode to mode and from scenario to scenario; where
    there is one mode it runs for both.
    """
    modes = list(dict.fromkeys(mode for library, mode in pairs if library in TWINS))
    if len(modes) < 2 or os.environ.get(ALL_PAIRS):
        return list(pairs)
    first = zlib.crc32(function.encode())
    kept = {(TWINS[(first + number) % 2], mode) for number, mode in enumerate(modes)}
    return [pair for pair in pairs if pair[0] not in TWINS or pair in kept]


def _keeps_refused_tunnels() -> bool:
    try:
        connector = importlib.import_module("aiohttp.connector")
    except ImportError:
        return False
    return not hasattr(connector, "_ConnectTunnelConnection")


_REASONS = {
    library: {name: why for why, names in reasons.items() for name in names.split()}
    for library, reasons in _NOT_FOR.items()
}
if _keeps_refused_tunnels():
    _REASONS["aiohttp"]["test_proxy_that_refuses"] = (
        "this version keeps a connection to a proxy that has refused as an idle one to the origin"
    )

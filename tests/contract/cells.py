"""Which scenarios run for which library, and why the others do not apply.

A scenario is a test of this folder. It is listed by its function, or by its file for all tests of
the file. What is not listed runs.
"""

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
"""Environment variable: if set, every scenario runs for both twins in every mode."""

_NOT_FOR: Mapping[str, Mapping[str, str]] = {
    "aiohttp": {
        "it speaks HTTP/1.1 only": """
            test_http2.py test_shared_setup.py
            test_protocol_version_is_that_of_the_origin_behind_a_proxy
            test_metrics_agree_with_the_clients_under_load_on_http2
            test_requests_queue_if_a_connection_offers_http2_and_gets_http1
            test_requests_beyond_the_streams_are_stream_queued
            test_snapshot_under_load_on_http2_is_consistent
            test_leak_is_detected_beside_a_silent_stream""",
        "a closed connector refuses requests": """
            test_closed_pool_that_serves_again_is_counted_as_before
            test_request_queued_before_close_is_served_by_a_later_connection
            test_connection_made_by_a_closed_pool_is_closed_once
            test_request_queued_before_close_keeps_its_connection_after_a_second_close""",
        "its event loop keeps a response in flight, and with it the connector; see "
        "test_abandoned_response_is_unread_until_the_server_has_sent_it": """
            test_garbage_collected_pool_ends_the_lease_of_its_open_response""",
        "a response that ends because its connector was closed is no failure": """
            test_read_after_the_pool_is_closed_is_a_failed_request""",
        "it has no limit on idle connections": """
            test_connection_evicted_below_the_keepalive_limit_has_its_reason""",
        "it tries to connect once": "test_retries_belong_to_one_set_up",
        "its WebSocket reports its end as a message and raises nothing": """
            test_closing_a_websocket_during_a_read_is_no_failure""",
    },
    "urllib3": {
        "its HTTP/2 is an experiment that has to be injected, with one stream on a connection": """
            test_http2.py test_shared_setup.py
            test_protocol_version_is_that_of_the_origin_behind_a_proxy
            test_metrics_agree_with_the_clients_under_load_on_http2
            test_requests_queue_if_a_connection_offers_http2_and_gets_http1
            test_requests_beyond_the_streams_are_stream_queued
            test_snapshot_under_load_on_http2_is_consistent
            test_leak_is_detected_beside_a_silent_stream""",
        "it has no list of connections in use": """
            test_tunnel_in_set_up_at_instrument_is_connecting""",
        "a client with a proxy is a manager of its own, as in test_proxies.py": """
            test_pool_of_a_clients_proxy_is_observed""",
        "an interrupted wait gives back a place that it had not taken; see "
        "test_interrupted_wait_of_urllib3_releases_a_slot_it_never_had": """
            test_interrupted_waiter_leaves_the_queue""",
        "a closed pool refuses requests; see test_cleared_manager_builds_new_pools": """
            test_closed_pool_that_serves_again_is_counted_as_before
            test_request_queued_before_close_is_served_by_a_later_connection
            test_connection_made_by_a_closed_pool_is_closed_once
            test_request_queued_before_close_keeps_its_connection_after_a_second_close""",
        "closing a pool leaves connections in use alone; see "
        "test_request_continues_after_its_pool_is_closed": """
            test_request_of_a_closed_pool_ends_once
            test_read_after_the_pool_is_closed_is_a_failed_request""",
        "a pool has one origin; see "
        "test_manager_drops_the_least_recently_used_pool_beyond_num_pools": """
            test_connection_evicted_below_the_keepalive_limit_has_its_reason""",
        "its idle connections don't expire": "test_expired_connection_is_closed_with_its_reason",
        "each try takes a connection of its own; see test_each_retry_is_a_request": """
            test_retries_belong_to_one_set_up""",
        "it has no connections over Unix sockets": """
            test_connections_over_a_unix_socket_have_the_origin_of_the_request""",
        "it has no async pools": "test_snapshot_works_in_a_signal_handler_of_an_async_program",
        "it hands over no connection that has switched to another protocol": "test_upgrades.py",
    },
    "grpc": {
        "a channel has no limit on connections, so no request waits for a free one": """
            test_acquire.py test_saturation.py test_load.py test_full_pool_has_no_anomaly
            test_requests_in_flight_at_instrument_continue_and_are_not_counted
            test_requests_in_flight_at_uninstrument_continue_and_are_not_reported
            test_queue_is_empty_after_reinstrument test_interrupted_waiter_leaves_the_queue
            test_requests_in_flight_during_reinstrument_are_not_counted_twice""",
        "gRPC reports no connections; test_grpc_channels.py has what it reports": """
            test_silent_peers.py test_snapshot.py test_pool_from_before_instrument_is_observed
            test_request_of_a_closed_pool_ends_once
            test_garbage_collected_pool_ends_the_lease_of_its_open_response
            test_read_after_the_pool_is_closed_is_a_failed_request
            test_connection_close_header_is_the_close_reason
            test_expired_connection_is_closed_with_its_reason
            test_full_metrics_have_handshake_lifetime_and_requests_of_a_connection
            test_interrupt_before_the_head_closes_the_connection""",
        "a closed channel refuses calls": """
            test_closed_pool_that_serves_again_is_counted_as_before
            test_request_queued_before_close_is_served_by_a_later_connection
            test_connection_made_by_a_closed_pool_is_closed_once
            test_request_queued_before_close_keeps_its_connection_after_a_second_close""",
        "HTTP/2 is inside gRPC's core, which reports no streams and no limit on them": """
            test_http2.py test_leak_is_detected_beside_a_silent_stream""",
        "a channel connects by itself, for all of its calls; test_grpc_channels.py has that": """
            test_shared_setup.py test_setup_steps.py
            test_tunnel_in_set_up_at_instrument_is_connecting test_retries_belong_to_one_set_up
            test_slow_set_up_counts_as_connecting_and_not_as_queued""",
        "its statuses and deadlines are its own; test_grpc_calls.py has them": """
            test_interim_response_is_not_the_answer
            test_request_that_the_library_refuses_to_send_is_invalid
            test_time_by_phase_grows_while_a_request_hangs""",
        "it takes a proxy from the environment only and reports nothing about it": """
            test_proxies.py test_pool_of_a_clients_proxy_is_observed""",
        "a channel has one origin": """
            test_connection_evicted_below_the_keepalive_limit_has_its_reason""",
        "it is about the object of an HTTP client; test_grpc_channels.py has a single channel": """
            test_instrumented_client_has_the_given_name""",
        "the path of a Unix socket is not reported": """
            test_connections_over_a_unix_socket_have_the_origin_of_the_request""",
        "a target's scheme says how its name is resolved, and any text is one": """
            test_url_with_unsupported_protocol_is_not_counted""",
        "it hands over no connection that has switched to another protocol": "test_upgrades.py",
    },
}
"""By library and reason: the scenarios that do not apply."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One scenario for one library."""

    modes: tuple[str, ...]
    """The runners that it runs in; empty if it does not apply."""
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
    """Drop every second pair of the twins.

    httpx and httpx2 share their hooks, and so do sync and async code. So each mode of a scenario
    runs for one of the two, alternating. A scenario with a single mode runs for both.
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
    _REASONS["aiohttp"]["test_refused_tunnel_leaves_no_open_connection"] = (
        "this version keeps a connection to a proxy that has refused as an idle one to the origin"
    )

"""Scenarios that do not apply to grpc, each with the reason."""

from __future__ import annotations

_LIMIT = "a channel has no limit on connections, so that nothing waits for a free one"
_TOLD = "gRPC tells of no connection: not that it is there, and not why it is closed"
_RESPONSE = f"{_TOLD}; test_grpc_calls.py has what became of the call"
_HTTP2 = "HTTP/2 is inside gRPC's core, which tells of no stream and of no limit on them"
_PROXY = "a proxy is taken from the environment only, and nothing is told of it"
_TLS = "nothing is told of a TLS handshake but that it failed; test_grpc_state.py has that"
_SETUP = "a channel sets connections up by itself, for all of its calls; test_grpc_state.py has it"
_UNIX = "the path of a Unix socket is not told, and there is nothing else to tell it by"
_DEADLINE = "a call has one deadline for all of it; test_grpc_calls.py has that"

REASONS: dict[str, str] = {
    "test_acquire.py": f"{_LIMIT}; test_grpc_state.py has the wait for a channel to be ready",
    "test_anomalies.py": _LIMIT,
    "test_clients.py::test_body_is_sent_and_statuses_come_back": (
        "it has statuses of its own; test_grpc_calls.py has them"
    ),
    "test_clients.py::test_client_with_limits": _LIMIT,
    "test_clients.py::test_proxy_of_a_client": _PROXY,
    "test_clients.py::test_redirect_is_two_requests": "it knows no redirects",
    "test_http2.py": _HTTP2,
    "test_in_flight.py::test_in_flight_at_instrument": (
        f"{_LIMIT}; test_grpc_channels.py has calls in flight"
    ),
    "test_in_flight.py::test_in_flight_at_uninstrument": (
        f"{_LIMIT}; test_grpc_channels.py has calls in flight"
    ),
    "test_in_flight.py::test_in_flight_over_a_second_instrument": (
        f"{_LIMIT}; test_grpc_channels.py has calls in flight"
    ),
    "test_in_flight.py::test_pool_from_before_instrument_is_counted_from_its_next_request": (
        f"{_TOLD}; test_grpc_channels.py has a channel from before"
    ),
    "test_in_flight.py::test_nobody_is_queued_after_a_second_instrument": _LIMIT,
    "test_loop_lag.py::test_blocked_loop_does_not_hide_a_wait_that_it_cannot_explain": _LIMIT,
    "test_loop_lag.py::test_one_pause_does_not_hide_who_waits": _LIMIT,
    "test_in_flight.py::test_set_up_in_flight_at_instrument": _SETUP,
    "test_interrupts.py::test_interrupted_before_the_head": _RESPONSE,
    "test_interrupts.py::test_interrupted_while_queued": _LIMIT,
    "test_load.py": _LIMIT,
    "test_pool_end.py::test_closed_pool": f"{_TOLD}; test_grpc_channels.py has a closed channel",
    "test_pool_end.py::test_closed_pool_serves_again": (
        "a closed channel refuses calls; test_grpc_channels.py has it"
    ),
    "test_pool_end.py::test_connection_of_a_closed_pool_that_serves_again_is_closed_once": (
        "a closed channel refuses calls; test_grpc_channels.py has it"
    ),
    "test_pool_end.py::test_garbage_collected_pool": (
        f"{_TOLD}; test_grpc_channels.py has a channel that was dropped"
    ),
    "test_pool_end.py::test_garbage_collected_pool_with_an_open_response": (
        "an async call goes on without its channel; test_grpc_channels.py has it"
    ),
    "test_pool_end.py::test_pool_closed_under_a_request": (
        f"{_TOLD}; test_grpc_channels.py has a channel that is closed under a call"
    ),
    "test_pool_end.py::test_pool_closed_under_a_waiter": _LIMIT,
    "test_pool_end.py::test_reading_on_after_the_pool_was_closed": (
        "closing a channel cancels its calls; test_grpc_channels.py has it"
    ),
    "test_pool_end.py::test_waiter_of_a_closed_pool_that_serves_again": (
        "a closed channel refuses calls; test_grpc_channels.py has it"
    ),
    "test_pool_end.py::test_waiter_of_a_pool_that_is_closed_twice": (
        "a closed channel refuses calls; test_grpc_channels.py has it"
    ),
    "test_proxies.py": _PROXY,
    "test_response.py::test_broken_off_before_the_head": _RESPONSE,
    "test_response.py::test_broken_off_in_the_body": _RESPONSE,
    "test_response.py::test_cancelled_before_the_head": _RESPONSE,
    "test_response.py::test_cancelled_between_two_reads": _RESPONSE,
    "test_response.py::test_cancelled_in_the_body": _RESPONSE,
    "test_response.py::test_phases_follow_the_servers_schedule": (
        "that a channel got ready is seen a moment later; test_grpc_calls.py has one that is"
    ),
    "test_response.py::test_phases_move_while_a_request_hangs": (
        "that a channel got ready is seen a moment later; test_grpc_calls.py has one that is"
    ),
    "test_response.py::test_read_timeout_before_the_head": _RESPONSE,
    "test_response.py::test_read_timeout_in_the_body": _RESPONSE,
    "test_response.py::test_response_that_is_closed_before_its_end": _RESPONSE,
    "test_response.py::test_response_that_is_closed_twice": _RESPONSE,
    "test_response.py::test_statuses_are_no_failures": (
        "it has statuses of its own; test_grpc_calls.py has them"
    ),
    "test_response.py::test_write_timeout": _DEADLINE,
    "test_reuse.py::test_broken_off_on_a_reused_connection": _TOLD,
    "test_reuse.py::test_connection_close_was_asked_for": _TOLD,
    "test_reuse.py::test_eviction_below_the_keepalive_limit": "a channel has one origin",
    "test_reuse.py::test_eviction_for_another_origin": "a channel has one origin",
    "test_reuse.py::test_keepalive_expiry": _TOLD,
    "test_reuse.py::test_keepalive_limit": _TOLD,
    "test_reuse.py::test_keepalive_limit_of_a_full_pool": _TOLD,
    "test_reuse.py::test_server_closes_an_idle_connection": _TOLD,
    "test_saturation.py": _LIMIT,
    "test_settings.py::test_full_metrics_of_a_connection": _TOLD,
    "test_settings.py::test_full_metrics_of_a_stream": _HTTP2,
    "test_settings.py::test_origins_beyond_the_bound_share_one": (
        "it needs servers that speak HTTP/1.1; test_grpc_channels.py has the bound"
    ),
    "test_settings.py::test_single_client_has_the_name_that_it_was_given": (
        "it is about HTTP clients; test_grpc_channels.py has a single channel"
    ),
    "test_settings.py::test_suppressed_requests_make_no_spans": (
        f"{_TOLD}; test_grpc_channels.py has suppressed calls"
    ),
    "test_settings.py::test_time_in_queue_is_of_waiters_only": _LIMIT,
    "test_setup.py::test_certificate_that_is_not_trusted": _TLS,
    "test_setup.py::test_connect_timeout": f"{_SETUP}; a call has one deadline for all of it",
    "test_setup.py::test_connecting_is_tried_again": _SETUP,
    "test_setup.py::test_slow_set_up_is_connecting_and_no_wait": _SETUP,
    "test_setup.py::test_tls_handshake_that_times_out": _TLS,
    "test_setup.py::test_unix_socket": _UNIX,
    "test_setup.py::test_unix_socket_that_nobody_serves": _UNIX,
    "test_setup.py::test_unsupported_protocol_never_entered_the_pool": (
        "a target's scheme tells how its name is resolved, and any text is one"
    ),
    "test_shared_setup.py": _SETUP,
    "test_snapshot.py": f"{_TOLD}; test_grpc_snapshot.py has what is told of a channel",
    "test_spans.py::test_clean_up_of_idle_connections_is_no_error": _TOLD,
    "test_spans.py::test_client_span_tells_reuse_and_wait": (
        "neither reuse nor a wait is told, unless a call asks to wait for its channel"
    ),
    "test_spans.py::test_request_that_waits_for_anothers_set_up_links_to_it": _SETUP,
    "test_spans.py::test_setup_span": _SETUP,
    "test_spans.py::test_setup_that_failed": _SETUP,
    "test_spans.py::test_wait_span": f"{_LIMIT}; test_grpc_state.py has the span of a wait",
    "test_spans.py::test_wait_that_failed": f"{_LIMIT}; test_grpc_state.py has the span of a wait",
    "test_streams.py": _HTTP2,
    "test_upgrades.py": "it hands no connection over that has switched to another protocol",
}

"""Shares of requests: 0 without matching requests, and no value without any request."""

from pathlib import Path

from gluellm_dashboards.signals import connections, pools, requests
from gluellm_dashboards.signals.signal import essential

from .asking import POOL, check, series

_REQUESTS = "gluellm_pool_requests_total"


def ended(rate: float, **how: str) -> dict[str, str]:
    return series(_REQUESTS, {**POOL, **how}, f"0+{rate * 60:g}x20")


def test_resent_requests_are_a_share_of_all(tmp_path: Path) -> None:
    """One of four requests is resent."""
    written = [ended(3), ended(1, gluellm_request_resend="true")]
    check(tmp_path, written, (requests.RESEND_SHARE, "10m", {"{}": 0.25}))


def test_the_share_of_resent_requests_is_zero_before_the_first(tmp_path: Path) -> None:
    """Their series begins with the first resent request."""
    check(tmp_path, [ended(3)], (requests.RESEND_SHARE, "10m", {"{}": 0}))


def test_the_share_of_resent_requests_is_one_if_all_are_resent(tmp_path: Path) -> None:
    """The series of other requests exists, but does not grow."""
    written = [ended(0), ended(2, gluellm_request_resend="true")]
    check(tmp_path, written, (requests.RESEND_SHARE, "10m", {"{}": 1}))


def test_error_statuses_are_a_share_of_the_requests_that_had_a_connection(tmp_path: Path) -> None:
    """Requests that timed out waiting, or could not connect, are not counted."""
    written = [
        ended(4, http_response_status_code="200"),
        ended(1, http_response_status_code="404"),
        ended(20, error_type="pool_timeout"),
        ended(9, error_type="connection_error"),
        ended(1, http_response_status_code="429"),
        ended(2, http_response_status_code="503"),
        ended(1, rpc_response_status_code="RESOURCE_EXHAUSTED"),
        ended(1, rpc_response_status_code="OK"),
    ]
    check(tmp_path, written, (requests.ERROR_STATUS_SHARE, "10m", {"{}": 0.5}))


def test_failed_requests_have_an_error_or_an_error_status(tmp_path: Path) -> None:
    """They count with or without a connection. Resent requests count separately."""
    written = [
        ended(4, http_response_status_code="200"),
        ended(1, rpc_response_status_code="OK"),
        ended(1, http_response_status_code="404"),
        ended(1, http_response_status_code="200", error_type="read_error"),
        ended(1, error_type="pool_timeout"),
        ended(1, error_type="pool_timeout", gluellm_request_resend="true"),
        ended(1, rpc_response_status_code="UNAVAILABLE"),
    ]
    check(tmp_path, written, (requests.FAILED_SHARE, "10m", {"{}": 0.5}))


def test_the_share_of_failures_is_one_without_any_success(tmp_path: Path) -> None:
    """If a provider is down when a process starts, there is no series of successful requests."""
    written = [ended(3, error_type="connection_error"), ended(1, http_response_status_code="503")]
    shares = requests.FAILED_SHARE, requests.ERROR_STATUS_SHARE
    check(tmp_path, written, *((share, "10m", {"{}": 1}) for share in shares))


def test_statuses_cover_answered_requests_only(tmp_path: Path) -> None:
    """Statuses of HTTP and gRPC are shown together, without requests that have no status."""
    written = [
        ended(4, http_response_status_code="200"),
        ended(1, rpc_response_status_code="OK"),
        ended(2, error_type="pool_timeout"),
    ]
    found = {'{http_response_status_code="200"}': 4.0, '{rpc_response_status_code="OK"}': 1.0}
    check(tmp_path, written, (requests.STATUSES, "10m", found))


def test_without_requests_there_is_no_share(tmp_path: Path) -> None:
    """The result is empty, not 0: panels then show a text."""
    written = [ended(0), series("gluellm_pool_opened_total", POOL, "1+0x20")]
    shares = (
        requests.RESEND_SHARE,
        requests.ERROR_STATUS_SHARE,
        requests.FAILED_SHARE,
        pools.CHURN,
    )
    check(tmp_path, written, *((share, "10m", {}) for share in shares))


def test_requests_that_never_connected_do_not_count_as_reuse(tmp_path: Path) -> None:
    """Nine of ten requests reuse a connection. Pool timeouts and connection errors don't count."""
    written = [
        ended(10, http_response_status_code="200"),
        ended(5, error_type="pool_timeout"),
        ended(5, error_type="connection_error"),
        series("gluellm_pool_connection_opened_total", POOL, "0+60x20"),
    ]
    check(tmp_path, written, (connections.REUSE_SHARE, "10m", {"{}": 0.9}))


def test_pooling_saves_the_set_up_of_each_reused_connection(tmp_path: Path) -> None:
    """Nine of ten requests reuse a connection, and establishing one took 0.25 s on average."""
    written = [
        ended(10, http_response_status_code="200"),
        series("gluellm_pool_connection_opened_total", POOL, "0+60x20"),
        series("gluellm_pool_connection_create_time_seconds_total", POOL, "0+15x20"),
    ]
    check(tmp_path, written, (connections.SAVED, "10m", {"{}": 9 * 60 * 0.25}))


def test_the_share_of_pool_timeouts_is_one_if_all_requests_give_up(tmp_path: Path) -> None:
    """The series of their requests begins with the first one, that of timeouts with 0."""
    written = [
        series("gluellm_pool_timeouts_total", {**POOL, "gluellm_timeout_kind": "pool"}, "0+2x3"),
        series(_REQUESTS, {**POOL, "error_type": "pool_timeout"}, "_ 2+2x2"),
    ]
    share = essential("pool_timeout_share", "")
    check(tmp_path, written, (share, "3m", {"{}": 1}))

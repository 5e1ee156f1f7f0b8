"""Shares of requests: of what there is, and 0 where there is none of it."""

from pathlib import Path

from gluellm_dashboards.signals import connections, pools, requests

from .asking import POOL, check, series

_REQUESTS = "gluellm_pool_requests_total"


def ended(rate: float, **how: str) -> dict[str, str]:
    return series(_REQUESTS, {**POOL, **how}, f"0+{rate * 60:g}x20")


def test_what_is_sent_again_is_a_share_of_all(tmp_path: Path) -> None:
    """One of four."""
    written = [ended(3), ended(1, gluellm_request_resend="true")]
    check(tmp_path, written, (requests.RESEND_SHARE, "10m", {"{}": 0.25}))


def test_nothing_sent_again_is_zero_and_not_nothing(tmp_path: Path) -> None:
    """The series of what is sent again begins with the first."""
    check(tmp_path, [ended(3)], (requests.RESEND_SHARE, "10m", {"{}": 0}))


def test_all_sent_again_is_all(tmp_path: Path) -> None:
    """Not one that isn't, but its series is there."""
    written = [ended(0), ended(2, gluellm_request_resend="true")]
    check(tmp_path, written, (requests.RESEND_SHARE, "10m", {"{}": 1}))


def test_error_statuses_are_a_share_of_what_had_a_connection(tmp_path: Path) -> None:
    """What gave up waiting, or could not connect, was never answered."""
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


def test_what_fails_is_any_error_and_any_error_status(tmp_path: Path) -> None:
    """Whether it had a connection or not, and each that is sent again by itself."""
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


def test_all_fail_where_nothing_went_well_since_the_start(tmp_path: Path) -> None:
    """A provider that is down when a process starts: there is no series of what went well."""
    written = [ended(3, error_type="connection_error"), ended(1, http_response_status_code="503")]
    shares = requests.FAILED_SHARE, requests.ERROR_STATUS_SHARE
    check(tmp_path, written, *((share, "10m", {"{}": 1}) for share in shares))


def test_statuses_are_what_was_answered(tmp_path: Path) -> None:
    """HTTP's and gRPC's beside each other, and nothing that got none."""
    written = [
        ended(4, http_response_status_code="200"),
        ended(1, rpc_response_status_code="OK"),
        ended(2, error_type="pool_timeout"),
    ]
    found = {'{http_response_status_code="200"}': 4.0, '{rpc_response_status_code="OK"}': 1.0}
    check(tmp_path, written, (requests.STATUSES, "10m", found))


def test_without_requests_there_is_no_share(tmp_path: Path) -> None:
    """No data, which a panel says in words, and not 0."""
    written = [ended(0), series("gluellm_pool_opened_total", POOL, "1+0x20")]
    shares = (
        requests.RESEND_SHARE,
        requests.ERROR_STATUS_SHARE,
        requests.FAILED_SHARE,
        pools.CHURN,
    )
    check(tmp_path, written, *((share, "10m", {}) for share in shares))


def test_requests_that_never_connected_are_no_reuse(tmp_path: Path) -> None:
    """Nine found an open connection; what waited in vain or found nobody there doesn't count."""
    written = [
        ended(10, http_response_status_code="200"),
        ended(5, error_type="pool_timeout"),
        ended(5, error_type="connection_error"),
        series("gluellm_pool_connection_opened_total", POOL, "0+60x20"),
    ]
    check(tmp_path, written, (connections.REUSE_SHARE, "10m", {"{}": 0.9}))


def test_the_worst_pool_churns_beside_a_busy_one(tmp_path: Path) -> None:
    """A client per call to one provider is not hidden by another's traffic."""
    other = {**POOL, "gen_ai_provider_name": "anthropic", "gluellm_pool_name": "anthropic"}
    written = [
        series(_REQUESTS, POOL, "0+6000x20"),
        series(_REQUESTS, other, "0+60x20"),
        series("gluellm_pool_opened_total", POOL, "1+0x20"),
        series("gluellm_pool_opened_total", other, "0+60x20"),
    ]
    check(tmp_path, written, (pools.WORST_CHURN, "10m", {"{}": 1}))

"""The store's URL and its credentials."""

import pytest

from gluellm_pools.verify.address import AddressError, read_address


def test_a_password_becomes_a_header_and_is_not_printed():
    """Neither the printed URL nor the repr has it."""
    address = read_address("https://me:s%40cret@host:9090/prom/", [], None)
    assert address.url == "https://host:9090/prom"
    assert address.headers == {"Authorization": "Basic bWU6c0BjcmV0"}
    assert "cret" not in repr(address)
    assert "bWU6" not in repr(address)


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("http://host:9090/", "http://host:9090"),
        ("http://host/prometheus/graph?g0.expr=up", "http://host/prometheus"),
        ("http://host/api/v1/query", "http://host"),
        ("http://host/api/v1/otlp/v1/metrics", "http://host"),
        ("http://host:8428/vmui/", "http://host:8428"),
        ("http://[::1]:9090", "http://[::1]:9090"),
        ("https://host/api/prom", "https://host/api/prom"),
    ],
)
def test_url_of_a_page_leads_to_its_store(given, base):
    """People copy what is in their browser's address bar."""
    assert read_address(given, [], None).url == base


def test_invalid_url_or_header_is_refused():
    """The error does not have the header, which may be a key."""
    for wrong in ("localhost:9090", "ftp://host", "http://", "", "http://h:x"):
        with pytest.raises(AddressError, match="URL"):
            read_address(wrong, [], None)
    for wrong in ("secret", "a b=secret", "A=secret\nB: x", "A=sécret"):
        with pytest.raises(AddressError, match="header") as caught:
            read_address("http://host", [wrong], None)
        assert "secret" not in str(caught.value)


def test_headers_come_from_the_options_and_the_variable():
    """An option wins; the variable is percent-encoded, as OTEL_EXPORTER_OTLP_HEADERS is."""
    address = read_address(
        "http://host", ["X-Scope-OrgID=b=c"], "Authorization=Bearer%20k,x-scope-orgid=a"
    )
    assert address.headers == {"Authorization": "Bearer k", "X-Scope-OrgID": "b=c"}

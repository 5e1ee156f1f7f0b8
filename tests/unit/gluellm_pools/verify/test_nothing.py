"""Report on a store without data of this package."""

import pytest

from gluellm_pools.verify.findings import findings
from gluellm_pools.verify.nothing import otlp_url
from gluellm_pools.verify.product import Kind, Product

from .test_judging import given


def _cure(**more) -> list[str]:
    (finding,) = findings(given(stored=[], **more), [])
    return finding.advice.split("\n")


def test_disabled_endpoint_is_reported_first():
    """Prometheus accepts OTLP only if enabled, and its API shows that it is not."""
    off = _cure(product=Product(Kind.PROMETHEUS, takes_otlp=False), empty=True)
    assert off[0].startswith("1. This store's OTLP endpoint is off: start Prometheus with --web.en")
    assert off[1].startswith("2. Is the program instrumented?")
    on = _cure(product=Product(Kind.PROMETHEUS, takes_otlp=True), empty=True)
    assert on[0].startswith("1. Is the program instrumented?")


def test_failing_scrape_target_is_reported_first():
    """The data may come by that scrape. The Collector fails most often."""
    first = _cure(down=["collector http://c:8889/metrics: connection refused"])[0]
    said = "1. Prometheus can't scrape collector http://c:8889/metrics: connection refused"
    assert first == said
    steps = "\n".join(_cure(empty=True))
    assert "Exporting failed. Dropping data." in steps
    assert "doubled /v1/metrics gives 404" in steps


@pytest.mark.parametrize(
    ("kind", "url", "found"),
    [
        (Kind.PROMETHEUS, "http://h:9090", "http://h:9090/api/v1/otlp/v1/metrics"),
        (Kind.PROMETHEUS, "http://h/prom", "http://h/prom/api/v1/otlp/v1/metrics"),
        (Kind.VICTORIA_METRICS, "http://h:8428", "http://h:8428/opentelemetry/v1/metrics"),
        (Kind.VICTORIA_METRICS, "http://h/select/0/prometheus", ""),
        (Kind.MIMIR, "http://h/prometheus", "http://h/otlp/v1/metrics"),
        (Kind.MIMIR, "https://h/api/prom", ""),
        (Kind.OTHER, "http://h", ""),
        (Kind.PROMETHEUS, "", ""),
    ],
)
def test_the_store_s_own_address_for_metrics_is_printed(kind, url, found):
    """It is printed to be copied, except for another host's address."""
    facts = given(stored=[], product=Product(kind), url=url, empty=True)
    assert otlp_url(facts) == found
    assert not found or any(found in step for step in _cure(product=Product(kind), url=url))

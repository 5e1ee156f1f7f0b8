"""Ingestion paths, from label sets recorded in real stores."""

import pytest

from gluellm_pools.verify.facts import Facts, Series
from gluellm_pools.verify.product import Kind, Product
from gluellm_pools.verify.ways import arrivals, scrape_instance, twice
from opentelemetry.instrumentation.gluellm.telemetry.prometheus import Way

_SCOPE = {
    "otel_scope_name": "opentelemetry.instrumentation.gluellm",
    "otel_scope_schema_url": "https://opentelemetry.io/schemas/1.37.0",
    "otel_scope_version": "0.1.0",
}
_UUID = "4d331aef-da2e-4e77-a7f2-0e0fcb51baf3"
_PROMETHEUS = Product(Kind.PROMETHEUS)
_VICTORIA = Product(Kind.VICTORIA_METRICS)

COLLECTOR = {"job": "api", "instance": _UUID, **_SCOPE}
NO_HONOR = {
    "job": "collector",
    "instance": "127.0.0.1:8889",
    "exported_job": "api",
    "exported_instance": _UUID,
    **_SCOPE,
}
OTLP = {"job": "api", "instance": _UUID, "service_name": "api", "service_instance_id": _UUID}
READER = {"job": "programs", "instance": "127.0.0.1:9464", **_SCOPE}
VICTORIA = {
    "scope_name": "opentelemetry.instrumentation.gluellm",
    "scope_version": "0.1.0",
    "service_instance_id": _UUID,
    "service_name": "api",
    "telemetry_sdk_language": "python",
}
DOTTED = {label.replace("_", "."): value for label, value in VICTORIA.items()}
NO_INSTANCE = {"job": "api", "instance": "127.0.0.1:8889", **_SCOPE}


def facts(*labels, product=_PROMETHEUS, now=1000.0, **more):
    """Of these series, the first the oldest."""
    processes = [Series(one, now - 10 + number) for number, one in enumerate(labels)]
    return Facts(product, now, 3600.0, processes=processes, **more)


_JOB = ("job", "instance")
_ON_VICTORIA = {"product": _VICTORIA}
_PROMOTED = {"product": Product(Kind.PROMETHEUS, promotes_scope=True), "scraped": False}
_TARGET = {"scraped": True, "targets": {("programs", "127.0.0.1:9464"): 1.0}}


@pytest.mark.parametrize(
    ("labels", "more", "way", "told"),
    [
        (COLLECTOR, {"scraped": True}, Way.COLLECTOR, _JOB),
        (COLLECTOR, {}, Way.COLLECTOR, _JOB),
        (NO_HONOR, {}, Way.COLLECTOR, ("exported_job", "exported_instance")),
        (OTLP, {"scraped": False}, Way.PROMETHEUS, _JOB),
        (OTLP, {"product": Product(Kind.MIMIR)}, Way.PROMETHEUS, _JOB),
        (READER, _TARGET, Way.READER, _JOB),
        (READER, {"info": [{"job": "programs", "service_name": "api"}]}, Way.READER, _JOB),
        (VICTORIA, _ON_VICTORIA, Way.VICTORIA_METRICS, ("service_name", "service_instance_id")),
        (DOTTED, _ON_VICTORIA, Way.VICTORIA_METRICS, ("service.name", "service.instance.id")),
        ({**VICTORIA, "job": "api", "instance": _UUID}, _ON_VICTORIA, Way.VICTORIA_METRICS, _JOB),
        ({"job": "api"}, _ON_VICTORIA, None, ("job", None)),
        (COLLECTOR, _PROMOTED, Way.PROMETHEUS, _JOB),
        ({"job": "api", "instance": _UUID}, {"scraped": True}, Way.COLLECTOR, _JOB),
    ],
)
def test_each_ingestion_path_is_recognized_by_its_labels(labels, more, way, told):
    """Its labels distinguish services and processes."""
    (found,) = arrivals(facts(labels, **more))
    assert (found.way, found.service_label, found.instance_label) == (way, *told)
    assert found.because
    assert ("honor_labels" in found.because) == (labels is NO_HONOR)


def test_the_series_of_a_process_are_one_arrival():
    """Instances by service, the newest sample, and further labels of the resource."""
    second = {**OTLP, "instance": "b", "service_version": "7"}
    (found,) = arrivals(facts(OTLP, {**OTLP, "gluellm_pool_name": "x"}, second))
    assert found.instances == {"api": {_UUID, "b"}}
    assert found.newest == 992.0
    assert found.further == {"service.version": "service_version"}


def test_labels_on_target_info_alone_are_reported():
    """A board that filters by it has to join."""
    info = [{"job": "api", "instance": _UUID, "service_version": "7"}]
    (found,) = arrivals(facts(COLLECTOR, info=info))
    assert found.on_info == {"service.version"}
    (other,) = arrivals(facts(COLLECTOR, info=[{**info[0], "job": "web"}]))
    assert other.on_info == set()


def test_a_collector_s_address_is_no_instance():
    """It is the instance of the scrape if the resource has none."""
    targets = {("collector", "127.0.0.1:8889"): 1.0}
    given = facts(NO_INSTANCE, targets=targets)
    (found,) = arrivals(given)
    assert found.way is Way.COLLECTOR
    assert scrape_instance(found, given)
    good = facts(COLLECTOR, targets=targets)
    assert not scrape_instance(arrivals(good)[0], good)


def test_two_ingestion_paths_of_one_service_are_reported():
    """Two services are not reported, and neither is a path that has ended."""
    both = facts(COLLECTOR, OTLP, scraped=True)
    assert [one.way for one in arrivals(both)] == [Way.PROMETHEUS, Way.COLLECTOR]
    assert twice(arrivals(both, both.living)) == {"api"}
    apart = facts(COLLECTOR, {**OTLP, "job": "web"}, scraped=True)
    assert twice(arrivals(apart, apart.living)) == set()
    ended = Facts(
        _PROMETHEUS, 1000.0, 3600.0, processes=[Series(COLLECTOR, 100.0), Series(OTLP, 999.0)]
    )
    assert twice(arrivals(ended, ended.living)) == set()

"""Ingestion paths, from label sets recorded in real stores."""

import pytest

from gluellm_pools.prometheus import Way
from gluellm_pools.verify.contents import Contents, StoredProcess
from gluellm_pools.verify.paths import has_scrape_address, paths, services_on_two_paths
from gluellm_pools.verify.product import PROMETHEUS, VICTORIA_METRICS, Product

_SCOPE = {
    "otel_scope_name": "opentelemetry.instrumentation.gluellm",
    "otel_scope_schema_url": "https://opentelemetry.io/schemas/1.37.0",
    "otel_scope_version": "0.1.0",
}
_UUID = "4d331aef-da2e-4e77-a7f2-0e0fcb51baf3"
_PROMETHEUS = Product(PROMETHEUS)
_VICTORIA = Product(VICTORIA_METRICS)

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


def contents(*labels, product=_PROMETHEUS, **more):
    """The contents of a store with these series, oldest first."""
    processes = [StoredProcess(one, 990.0 + number) for number, one in enumerate(labels)]
    return Contents(product, "http://h", 1000.0, 3600.0, processes=processes, **more)


def paths_of(*labels, **more):
    given = contents(*labels, **more)
    return paths(given, given.processes)


_JOB = ("job", "instance")
_ON_VICTORIA = {"product": _VICTORIA}
_PROMOTED = {"product": Product(PROMETHEUS, promotes_scope=True)}
_TARGET = {"targets": {("programs", "127.0.0.1:9464")}}


@pytest.mark.parametrize(
    ("labels", "more", "way", "identity"),
    [
        (COLLECTOR, {}, Way.COLLECTOR, _JOB),
        (NO_HONOR, {}, Way.COLLECTOR, ("exported_job", "exported_instance")),
        (OTLP, {}, Way.PROMETHEUS, _JOB),
        (READER, _TARGET, Way.READER, _JOB),
        (VICTORIA, _ON_VICTORIA, Way.VICTORIA_METRICS, ("service_name", "service_instance_id")),
        (DOTTED, _ON_VICTORIA, Way.VICTORIA_METRICS, ("service.name", "service.instance.id")),
        ({**VICTORIA, "job": "api", "instance": _UUID}, _ON_VICTORIA, Way.VICTORIA_METRICS, _JOB),
        ({"job": "api"}, _ON_VICTORIA, None, ("job", None)),
        (COLLECTOR, _PROMOTED, Way.PROMETHEUS, _JOB),
    ],
)
def test_each_ingestion_path_is_recognized_by_its_labels(labels, more, way, identity):
    """Its labels distinguish services and processes."""
    (found,) = paths_of(labels, **more)
    assert (found.way, found.service_label, found.instance_label) == (way, *identity)
    assert found.because
    assert ("honor_labels" in found.because) == (labels is NO_HONOR)


def test_the_series_of_a_process_are_one_path():
    """It has the instances by service, and the newest sample."""
    second = {**OTLP, "instance": "b"}
    (found,) = paths_of(OTLP, {**OTLP, "gluellm_pool_name": "x"}, second)
    assert found.instances == {"api": {_UUID, "b"}}
    assert found.newest == 992.0


def test_a_collector_s_address_is_no_instance():
    """It is the instance of the scrape if the resource has none."""
    targets = {("collector", "127.0.0.1:8889")}
    for labels, expected in ((NO_INSTANCE, True), (COLLECTOR, False)):
        (found,) = paths_of(labels, targets=targets)
        assert found.way is Way.COLLECTOR
        assert has_scrape_address(found, contents(labels, targets=targets)) is expected


def test_two_ingestion_paths_of_one_instance_are_reported():
    """The path with the newest sample comes first."""
    both = paths_of(COLLECTOR, OTLP)
    assert [one.way for one in both] == [Way.PROMETHEUS, Way.COLLECTOR]
    assert services_on_two_paths(both) == ["api"]
    assert services_on_two_paths(paths_of(COLLECTOR, {**OTLP, "job": "web"})) == []

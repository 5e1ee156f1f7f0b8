"""The stores' OTLP settings: what becomes a label, how metrics are called, what is a duplicate.

Mimir and Grafana Cloud have the same rules under their own settings' names; they are not run here.
"""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from e2e.calls import call, instrumented
from e2e.programs import Prometheus, Stack, VictoriaMetrics
from gluellm_pools.fake_provider import FakeProvider

_COUNT = "gluellm_pool_lease_duration_seconds_count"
ABOUT_US = {
    "job",
    "instance",
    "service_name",
    "service_instance_id",
    "service_version",
    "service.instance.id",
    "telemetry_sdk_language",
}

pytest.importorskip("any_llm")


@pytest.fixture
def export(provider: FakeProvider) -> Any:
    """What a process exports after one call: a protobuf message."""
    reader = InMemoryMetricReader()
    with instrumented(reader, "one"):
        call(provider.openai_url, 1)
        data = reader.get_metrics_data()
    assert data is not None
    message = encode_metrics(data)
    for key, value in (("service.namespace", "shop"), ("service.version", "1.2.3")):
        message.resource_metrics[0].resource.attributes.add(key=key).value.string_value = value
    return message


def start(stack: Stack, otlp: dict[str, Any] | None) -> Prometheus:
    """Prometheus with these OTLP settings instead of those of dashboards/dev."""
    store = stack.prometheus_otlp
    configuration = yaml.safe_load(store.configuration.read_text())
    del configuration["otlp"]
    if otlp is not None:
        configuration["otlp"] = otlp
    store.configuration.write_text(yaml.safe_dump(configuration))
    stack.start("prometheus_otlp")
    return store


def post(store: Prometheus | VictoriaMetrics, message: Any) -> tuple[int, str]:
    """The status and the text of the answer."""
    path = f"{store.otlp_endpoint.removeprefix(store.url)}/v1/metrics"
    return store.post(path, message.SerializeToString(), "application/x-protobuf")


def about_us(row: dict[str, str]) -> dict[str, str]:
    """The labels that come of the resource."""
    return {key: value for key, value in row.items() if key in ABOUT_US}


ALWAYS = {"job": "shop/answers", "instance": "one"}
NAMED = {"service_name": "answers", "service_instance_id": "one"}


@pytest.mark.parametrize(
    ("otlp", "on_each", "on_target_info"),
    [
        (None, ALWAYS, {"service_version": "1.2.3"}),
        (
            {
                "promote_resource_attributes": ["service.version"],
                "keep_identifying_resource_attributes": True,
            },
            {**ALWAYS, "service_version": "1.2.3"},
            {**NAMED, "service_version": "1.2.3"},
        ),
    ],
    ids=["without settings", "promoted and kept"],
)
def test_prometheus_promotes_the_attributes_in_its_settings(
    otlp: dict[str, Any] | None,
    on_each: dict[str, str],
    on_target_info: dict[str, str],
    stack: Stack,
    export: Any,
) -> None:
    """By default series have only job and instance, and target_info lacks their attributes."""
    store = start(stack, otlp)
    assert post(store, export)[0] == 200
    (row,) = store.series(_COUNT)
    assert about_us(row) == on_each
    (info,) = store.series("target_info")
    assert about_us(info) == {**ALWAYS, "telemetry_sdk_language": "python", **on_target_info}


def test_a_second_value_for_the_same_moment_is_a_duplicate(stack: Stack, export: Any) -> None:
    """The same value again is harmless; another one is dropped, the first one holds."""
    store = start(stack, None)
    assert [post(store, export)[0] for _ in range(2)] == [200, 200]
    for metric in export.resource_metrics[0].scope_metrics[0].metrics:
        if metric.name == "gluellm.pool.lease.duration":
            metric.histogram.data_points[0].count += 1
            metric.histogram.data_points[0].bucket_counts[0] += 1
    status, text = post(store, export)
    assert status == 400
    assert "duplicate sample for timestamp" in text
    assert [value for _, value in store.samples(_COUNT)[0]["values"]] == [1]


@pytest.mark.parametrize(
    ("lacks", "name", "labels"),
    [
        ((), _COUNT, {**ALWAYS, **NAMED, "service_version": "1.2.3"}),
        # Dots are kept, in names and in labels.
        (
            ("opentelemetry.usePrometheusNaming",),
            "gluellm.pool.lease.duration_count",
            {"service.instance.id": "one"},
        ),
        # All attributes are labels, and job and instance, made by relabelling, are none.
        (
            ("opentelemetry.promote", "relabelConfig"),
            _COUNT,
            {**NAMED, "service_version": "1.2.3", "telemetry_sdk_language": "python"},
        ),
    ],
    ids=["with all flags", "without naming", "without promotion and relabelling"],
)
def test_victoria_metrics_has_the_labels_of_prometheus_by_its_flags(
    lacks: tuple[str, ...], name: str, labels: dict[str, str], stack: Stack, export: Any
) -> None:
    """Those of dashboards/dev, and what comes without those that users forget."""
    store = stack.victoria_metrics
    store.lacks = tuple(f"--{flag}" for flag in lacks)
    stack.start("victoria_metrics")
    assert post(store, export)[0] in {200, 204}
    (row,) = store.series(f'{{__name__="{name}"}}')
    assert about_us(row) == labels

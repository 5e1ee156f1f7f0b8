"""Prometheus' OTLP settings: what becomes a label, how metrics are called, what is a duplicate.

Mimir and Grafana Cloud have the same rules under their own settings' names; they are not run here.
"""

from __future__ import annotations

import http.client
from typing import Any

import pytest
import yaml
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from e2e.programs import Prometheus, Stack
from opentelemetry.instrumentation.gluellm.cli.fake_provider import FakeProvider

from .calls import call, instrumented
from .processes import HOST

_COUNT = "gluellm_pool_lease_duration_seconds_count"

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
    attribute = message.resource_metrics[0].resource.attributes.add(key="service.version")
    attribute.value.string_value = "1.2.3"
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


def post(store: Prometheus, message: Any) -> tuple[int, str]:
    """The status and the text of the answer."""
    connection = http.client.HTTPConnection(HOST, store.ports["http"], timeout=10)
    connection.request(
        "POST",
        "/api/v1/otlp/v1/metrics",
        message.SerializeToString(),
        {"Content-Type": "application/x-protobuf"},
    )
    answer = connection.getresponse()
    text = answer.read().decode(errors="replace")
    connection.close()
    return answer.status, text


def test_without_settings_job_and_instance_are_all_there_is(stack: Stack, export: Any) -> None:
    """The rest of the resource is on target_info, and what identifies it is not even there."""
    store = start(stack, None)
    assert post(store, export)[0] == 200
    (row,) = store.series(_COUNT)
    assert (row["job"], row["instance"]) == ("answers", "one")
    assert not {"service_name", "service_instance_id", "service_version"} & set(row)
    (info,) = store.series("target_info")
    assert info["service_version"] == "1.2.3"
    assert "service_name" not in info


def test_promoted_attributes_are_labels_of_each_series(stack: Stack, export: Any) -> None:
    """And identifying ones stay on target_info too when they are kept."""
    store = start(
        stack,
        {
            "promote_resource_attributes": ["service.version"],
            "keep_identifying_resource_attributes": True,
        },
    )
    assert post(store, export)[0] == 200
    (row,) = store.series(_COUNT)
    assert row["service_version"] == "1.2.3"
    (info,) = store.series("target_info")
    assert (info["service_name"], info["service_instance_id"]) == ("answers", "one")


@pytest.mark.parametrize(
    ("strategy", "name"),
    [
        ("UnderscoreEscapingWithSuffixes", "gluellm_pool_lease_duration_seconds_count"),
        ("UnderscoreEscapingWithoutSuffixes", "gluellm_pool_lease_duration_count"),
        ("NoUTF8EscapingWithSuffixes", "gluellm.pool.lease.duration_seconds_count"),
        ("NoTranslation", "gluellm.pool.lease.duration_count"),
    ],
)
def test_names_are_those_of_the_boards_with_one_strategy_only(
    strategy: str, name: str, stack: Stack, export: Any
) -> None:
    """The default one."""
    store = start(stack, {"translation_strategy": strategy})
    assert post(store, export)[0] == 200
    assert store.series(f'{{__name__="{name}"}}')
    assert bool(store.series(_COUNT)) is (name == _COUNT)


def test_a_second_value_for_the_same_moment_is_a_duplicate(stack: Stack, export: Any) -> None:
    """The same value again is harmless; another one is dropped, the first one holds."""
    store = start(stack, None)
    assert post(store, export)[0] == 200
    assert post(store, export)[0] == 200
    for metric in export.resource_metrics[0].scope_metrics[0].metrics:
        if metric.name == "gluellm.pool.lease.duration":
            metric.histogram.data_points[0].count += 1
            metric.histogram.data_points[0].bucket_counts[0] += 1
    status, text = post(store, export)
    assert status == 400
    assert "duplicate sample for timestamp" in text
    assert [value for _, value in store.samples(_COUNT)[0]["values"]] == [1]

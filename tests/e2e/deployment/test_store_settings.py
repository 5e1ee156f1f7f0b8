"""The stores' OTLP settings: what becomes a label, how metrics are called, what is a duplicate.

Mimir and Grafana Cloud have the same rules under their own settings' names; they are not run here.
"""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from e2e.programs import Prometheus, Stack, VictoriaMetrics
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
    connection = http.client.HTTPConnection(HOST, store.ports["http"], timeout=10)
    connection.request(
        "POST",
        f"{store.otlp_endpoint.removeprefix(store.url)}/v1/metrics",
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
    assert (row["job"], row["instance"]) == ("shop/answers", "one")
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


class Lacking(VictoriaMetrics):
    """VictoriaMetrics without flags that users forget."""

    lacks: tuple[str, ...] = ()

    def command(self, executable: Path) -> list[str]:
        flags = super().command(executable)
        return [flag for flag in flags if not flag.startswith(self.lacks)]


@pytest.fixture
def lacking(tmp_path: Path) -> Iterator[Lacking]:
    """It runs for one test, once it is started."""
    store = Lacking("lacking", tmp_path)
    yield store
    store.stop()


def test_victoria_metrics_without_naming_keeps_the_dots(lacking: Lacking, export: Any) -> None:
    """In names and in labels."""
    lacking.lacks = ("--opentelemetry.usePrometheusNaming",)
    lacking.start()
    assert post(lacking, export)[0] in {200, 204}
    (row,) = lacking.series('{__name__="gluellm.pool.lease.duration_count"}')
    assert row["service.instance.id"] == "one"


def test_victoria_metrics_by_itself_makes_all_attributes_labels(
    lacking: Lacking, export: Any
) -> None:
    """And neither job nor instance, which are made by relabelling."""
    lacking.lacks = ("--opentelemetry.promote", "--relabelConfig")
    lacking.start()
    assert post(lacking, export)[0] in {200, 204}
    (row,) = lacking.series(_COUNT)
    assert (row["service_name"], row["service_instance_id"]) == ("answers", "one")
    assert row["telemetry_sdk_language"] == "python"
    assert not {"job", "instance"} & set(row)


def test_victoria_metrics_with_the_flags_has_the_labels_of_prometheus(
    stack: Stack, export: Any
) -> None:
    """Those of dashboards/dev."""
    stack.start("victoria_metrics")
    assert post(stack.victoria_metrics, export)[0] in {200, 204}
    (row,) = stack.victoria_metrics.series(_COUNT)
    assert (row["job"], row["instance"]) == ("shop/answers", "one")
    assert row["service_version"] == "1.2.3"
    assert "telemetry_sdk_language" not in row

"""The demo's whole story, with its metrics on every way at once. Its argument is JSON.

Over OTLP to the Collector, as the demo itself does; with exponential histograms to a Prometheus;
and on a page of its own, at a port that it prints first.
"""

import json
import sys
from typing import Any

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import Histogram
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation
from prometheus_client import start_http_server

from gluellm_pools.demo.acts import STORY, plan
from gluellm_pools.demo.run import run


def main() -> int:
    """The demo's exit status."""
    settings: dict[str, Any] = json.loads(sys.argv[1])
    server, _ = start_http_server(0, "127.0.0.1")
    print(server.server_port, flush=True)
    exponential = PeriodicExportingMetricReader(
        OTLPMetricExporter(
            f"{settings['native']}/v1/metrics",
            preferred_aggregation={Histogram: ExponentialBucketHistogramAggregation()},
        ),
        settings["interval"] * 1000,
    )
    acts = plan(STORY, settings["seconds"])
    return run(acts, readers=[PrometheusMetricReader(), exponential])


if __name__ == "__main__":
    sys.exit(main())

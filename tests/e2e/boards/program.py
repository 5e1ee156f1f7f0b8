"""Run the whole demo and send its metrics on every ingestion path at once. The argument is JSON.

It exports over OTLP to the Collector, as the demo does; with exponential histograms to a
Prometheus; and on a page to scrape, whose port it prints first.
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

from gluellm_pools.demo.acts import STORY
from gluellm_pools.demo.run import headed, play


def main() -> int:
    """Run it."""
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
    play(headed(STORY), [PrometheusMetricReader(), exponential], seconds=settings["seconds"])
    return 0


if __name__ == "__main__":
    sys.exit(main())

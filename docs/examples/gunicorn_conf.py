"""gunicorn: telemetry in each worker, but not in the parent."""

from __future__ import annotations

from typing import Any

import telemetry

# For gluellm-pools doctor --pid. gunicorn itself uses SIGUSR1 and SIGUSR2.
raw_env = ["OTEL_PYTHON_GLUELLM_SNAPSHOT_SIGNAL=SIGRTMIN"]
workers = 2
worker_class = "gthread"
threads = 4
# Longer than the exporter's timeout (OTEL_EXPORTER_OTLP_TIMEOUT, 10 s), so that a worker has time for
# its last export.
graceful_timeout = 30


def post_fork(server: Any, worker: Any) -> None:
    """Run in the worker, before it loads the application."""
    telemetry.set_up()


def worker_exit(server: Any, worker: Any) -> None:
    """Run in the worker, after its last request, also if max_requests ends it."""
    telemetry.shut_down()

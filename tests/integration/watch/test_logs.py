"""Under ``opentelemetry-instrument`` warnings reach the watch where something hands them over."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator

import pytest

from support.watching import Watch, environment

_SCOPE = "opentelemetry.instrumentation.gluellm"
_PROGRAM = (
    "from opentelemetry.instrumentation.auto_instrumentation import run; run()",
    sys.executable,
    "-c",
    f"import logging; logging.getLogger('{_SCOPE}').warning('a leak, with its line')",
)

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("opentelemetry.distro") is None,
    reason="needs opentelemetry-distro",
)


@pytest.fixture
def watch() -> Iterator[Watch]:
    started = Watch()
    yield started
    if started.process.poll() is None:
        started.process.kill()
        started.process.wait()


@pytest.mark.parametrize("handed_over", [True, False])
def test_warnings_come_with_the_variable_that_the_page_names(watch: Watch, handed_over: bool):
    """And not without, though the distro sets up an exporter of logs; then stderr has them."""
    more = {"OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED": "true"} if handed_over else {}
    finished = subprocess.run(
        [sys.executable, "-c", *_PROGRAM],
        env=environment(
            OTEL_EXPORTER_OTLP_ENDPOINT=watch.url,
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
            OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="logging",
            **more,
        ),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    watch.wait_for("Instrumented, but no request has used a pool in its scope yet")
    watch.end()
    assert bool(watch.found("logged: WARNING from .*: a leak, with its line")) is handed_over
    assert ("a leak, with its line" in finished.stderr) is not handed_over

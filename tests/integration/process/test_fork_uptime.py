"""The age of a forked child's counts."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

PROGRAM = """
import os, time
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot

GlueLLMInstrumentor().instrument(scope="all")
before = snapshot().uptime
time.sleep(0.05)
forked_at = time.monotonic()
process = os.fork()
if process == 0:
    uptime = snapshot().uptime
    os._exit(0 if 0 <= uptime <= time.monotonic() - forked_at else 1)
_, status = os.waitpid(process, 0)
assert not status, "the child's uptime includes the parent's"
assert snapshot().uptime > before
"""


def test_uptime_of_a_forked_child_begins_at_the_fork():
    """Its totals begin at 0 then, and rates are totals divided by the uptime."""
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )
    assert finished.returncode == 0, finished.stderr

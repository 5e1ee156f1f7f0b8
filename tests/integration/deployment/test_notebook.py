"""The examples that may run more than once in a process."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gluellm_pools.fake_provider import FakeProviderThread

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
_EVERY_CELL_TWICE = r"""
from pathlib import Path
cells = Path("notebook.py").read_text().split("\n# %%")
for cell in cells:
    exec("#" + cell), exec("#" + cell)
"""
_RELOADED = """
import importlib, telemetry
telemetry.set_up()
importlib.reload(telemetry).set_up()
telemetry.shut_down()
"""

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("any_llm") is None
    or importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http") is None,
    reason="needs any-llm and opentelemetry-exporter-otlp",
)


def run(program: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program in the examples' folder."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**inherited, "OPENAI_API_KEY": "any", **variables},
        cwd=EXAMPLES,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def test_each_cell_may_run_again():
    """Nothing is set up twice. Two clients have two pools, until the first one is collected."""
    with FakeProviderThread() as provider:
        finished = run(_EVERY_CELL_TWICE, OPENAI_BASE_URL=provider.openai_url)
    assert provider.counts.completed == 2  # after the provider's thread has ended, so all count
    assert "name='openai'" in finished.stdout
    assert finished.stderr == ""


def test_a_module_that_is_reloaded_sets_up_once():
    """Autoreload creates no second provider and causes no warning."""
    finished = run(_RELOADED, OTEL_EXPORTER_OTLP_TIMEOUT="0.1")
    # No server listens: the last export fails, or its 0.1 s are over before it begins.
    assert all("Failed to export" in line for line in finished.stderr.splitlines())

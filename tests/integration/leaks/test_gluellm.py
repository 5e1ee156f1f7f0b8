"""GlueLLM holds a stream's connection even when the application has closed the stream."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from opentelemetry.instrumentation.gluellm.cli.fake_provider import FakeProvider

from . import calls
from .reports import Whose, place

SCRIPT = Path(__file__).with_name("scripts") / "gluellm_stream.py"


@pytest.mark.all_sdks
def test_stream_of_gluellm_is_told_with_its_correlation_id(
    provider_server: FakeProvider, tmp_path: Path
) -> None:
    """`break` and `aclose()` don't give the connection back; the garbage collector does.

    In a process of its own: what GlueLLM changes in any-llm, it changes for good.
    """
    pytest.importorskip("gluellm")
    done = subprocess.run(
        [sys.executable, str(SCRIPT)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=tmp_path,
        env=calls.environment(
            HOME=str(tmp_path),
            OPENAI_API_KEY="any",
            OPENAI_BASE_URL=provider_server.openai_url,
            GLUELLM_LOG_LEVEL="ERROR",
        ),
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    whose = Whose(**told["whose"])
    assert told["pool"] == "openai/httpx"
    assert whose.provider == "openai"
    assert whose.correlation_id == "order-4711"
    assert whose.place == place(str(SCRIPT), "gluellm", "leave")
    assert told["over"] == "was released after all"

"""GlueLLM holds a stream's connection even when the application has closed the stream."""

from __future__ import annotations

from pathlib import Path

import pytest

from opentelemetry.instrumentation.gluellm.cli.fake_provider import FakeProvider

from . import calls
from .reports import place


@pytest.mark.all_sdks
def test_stream_of_gluellm_is_told_with_its_correlation_id(
    server: FakeProvider, tmp_path: Path
) -> None:
    """`break` and `aclose()` don't give the connection back; the garbage collector does.

    In a process of its own: what GlueLLM changes in any-llm, it changes for good.
    """
    pytest.importorskip("gluellm")
    (told,) = calls.run_script(
        "gluellm_stream.py",
        cwd=tmp_path,
        OPENAI_API_KEY="any",
        OPENAI_BASE_URL=server.openai_url,
        GLUELLM_LOG_LEVEL="ERROR",
    )
    assert (told["pool"], told["provider"]) == ("openai/httpx", "openai")
    assert told["correlation_id"] == "order-4711"
    script = str(Path(__file__).parent / "scripts" / "gluellm_stream.py")
    assert told["place"] == place(script, "gluellm", "leave")
    assert told["over"] == "was released after all"

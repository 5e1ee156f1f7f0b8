"""A version of urllib3 that lacks a private name: only what rests on it is off, and it is said."""

from __future__ import annotations

import json
import re
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import urllib3

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.http1 import HTTP1Server

from .conftest import Run

ALL_WELL = ["200", "200", "EmptyPoolError", "200", "NewConnectionError", "ProxyError"]
REQUESTS = len(ALL_WELL) + 2  # one is held, for others to wait, and one is closed unread
SEAMS = {
    "_get_conn": {"acquire"},
    "_put_conn": {"acquire", "release"},
    "_new_pool": {"pool_owner"},
    "_container": {"pool_close"},
    "_fp_read": {"read"},
    "_update_chunk_length": {"read"},
    "_handle_chunk": {"read"},
    "_new_conn": {"connection_tls"},
    "_original_response": {"read", "response_close"},
    "_connection": {"read", "response_close"},
    "_pool": {"read", "response_close"},
}
"""Private names, and what is off without each."""
FURTHER = [
    "_read",
    "_h2_conn",
    "_response_options",
    "_fp",
    "_error_catcher",
    "_close_pool_connections",
]
"""Private names that something smaller rests on, or nothing at all."""


@pytest.fixture
def told(tmp_path: Path, server: HTTP1Server, run: Run) -> Any:
    """What a program told that ran with a copy of urllib3 whose name for this is another."""

    def with_renamed(name: str) -> dict[str, Any]:
        copy = tmp_path / "urllib3"
        shutil.copytree(
            Path(str(urllib3.__file__)).parent,
            copy,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        renamed = 0
        for source in copy.rglob("*.py"):
            text, number = re.subn(rf"\b{name}\b", name + "_anew", source.read_text())
            source.write_text(text)
            renamed += number
        assert renamed, f"urllib3 has no {name}"
        output = run("urllib3_seams.py", server.url(), path=str(tmp_path))
        found: dict[str, Any] = json.loads(output.splitlines()[-1])
        return found

    return with_renamed


@pytest.mark.parametrize("name", SEAMS)
def test_only_what_rests_on_a_missing_seam_is_off(told: Any, name: str) -> None:
    """Requests are untouched; one warning for each seam names the version; its metric says 0."""
    found = told(name)
    assert found["results"] == ALL_WELL
    off = {seam for seam, value in found["seams"].items() if not value}
    assert off == SEAMS[name]
    assert len(found["warnings"]) == len(off)
    for seam in off:
        (warning,) = [text for text in found["warnings"] if repr(seam) in text]
        assert version("urllib3") in warning
        assert "urllib3" in warning
    assert found["errors"] == {}
    if "acquire" not in off:
        assert found["metrics"][semconv.REQUESTS.name] == REQUESTS
        assert found["metrics"][semconv.ACTIVE_REQUESTS.name] == 0


@pytest.mark.parametrize("name", FURTHER)
def test_further_private_names_may_go(told: Any, name: str) -> None:
    """Requests are untouched, and where anything is lost, one warning for each loss tells so."""
    found = told(name)
    assert found["results"] == ALL_WELL
    off = {seam for seam, value in found["seams"].items() if not value}
    assert len(found["warnings"]) == len(off) + len(found["errors"])
    if not off and not found["errors"]:
        assert found["metrics"][semconv.REQUESTS.name] == REQUESTS
        assert found["metrics"][semconv.ACTIVE_REQUESTS.name] == 0


def test_whole_library_has_every_seam(run: Run, server: HTTP1Server) -> None:
    """The same program with the library as it is: every seam is 1, and nobody is warned."""
    found = json.loads(run("urllib3_seams.py", server.url()).splitlines()[-1])
    assert found["results"] == ALL_WELL
    assert set(found["seams"].values()) == {1}
    assert found["warnings"] == []
    assert found["errors"] == {}
    assert found["metrics"][semconv.REQUESTS.name] == REQUESTS
    assert found["metrics"][semconv.ACTIVE_REQUESTS.name] == 0

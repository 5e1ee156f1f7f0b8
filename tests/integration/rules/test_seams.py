"""A library version that lacks a private name: only what rests on it is off, and it is said."""

from __future__ import annotations

import json
import re
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.http1 import HTTP1Server
from support.http2 import HTTP2Server
from support.libraries import Library
from support.listener import Listen

from .conftest import Run

ALL_WELL = ["200", "PoolTimeout", "200", "200", "ConnectError", "200", "200", "200"]
REQUESTS = len(ALL_WELL) + 1  # one is only held, for others to wait
SEAMS = {
    "assign_to_connection": {"acquire"},
    "wait_for_connection": {"wait"},
    "clear_connection": {"requeue"},
    "PoolByteStream": {"release"},
    "PoolRequest": {"acquire", "wait", "requeue"},
    "_receive_stream_event": {"http2"},
    "_send_request_headers": {"accept", "http2"},
    "ForwardHTTPConnection": {"accept"},
    "_response_closed": {"http2"},
    "_network_backend": {"connection_setup"},
    "_connections": {"state", "request"},
    "_max_connections": {"state", "request"},
    "_max_keepalive_connections": {"state", "request"},
    "_connection": {"state", "request"},
    "_origin": {"state", "request"},
}
"""Names that the package relies on, and what is off without each."""
FURTHER = [
    "_assign_requests_to_connections",
    "_requests",
    "_closed",
    "_pool_request",
    "_h11_state",
    "_h2_state",
    "_expire_at",
    "_network_stream",
    "_connect_failed",
    "_connected",
    "_remote_origin",
    "_connection_terminated",
    "_connection_error",
    "is_queued",
]
"""Private names that something smaller rests on, or nothing at all."""


@pytest.fixture(params=["httpcore", "httpcore2"])
def core(request: pytest.FixtureRequest) -> str:
    """A pool library by name."""
    name: str = request.param
    return name


@pytest.fixture
def told(core: str, tmp_path: Path, server: HTTP1Server, listen: Listen, run: Run) -> Any:
    """What a program told that ran with a copy of the library whose name for this is another."""

    def with_renamed(name: str) -> dict[str, Any]:
        package = Library.load(core.replace("httpcore", "httpx")).core
        copy = tmp_path / core
        shutil.copytree(
            Path(str(package.__file__)).parent, copy, ignore=shutil.ignore_patterns("__pycache__")
        )
        renamed = 0
        for source in copy.rglob("*.py"):
            text, number = re.subn(rf"\b{name}\b", name + "_anew", source.read_text())
            source.write_text(text)
            renamed += number
        assert renamed, f"{core} has no {name}"
        second = listen(HTTP2Server)
        output = run("seams.py", core, server.url(), second.url(), path=str(tmp_path))
        found: dict[str, Any] = json.loads(output.splitlines()[-1])
        return found

    return with_renamed


@pytest.mark.parametrize("name", SEAMS)
def test_only_what_rests_on_a_missing_seam_is_off(core: str, told: Any, name: str) -> None:
    """Requests are untouched; one warning for each seam names the version; its metric says 0."""
    found = told(name)
    assert found["results"] == ALL_WELL
    off = {seam for seam, value in found["seams"].items() if not value}
    assert off == SEAMS[name]
    assert len(found["warnings"]) == len(off)
    for seam in off:
        (warning,) = [text for text in found["warnings"] if repr(seam) in text]
        assert version(core) in warning
        assert core.replace("httpcore", "httpx") in warning
    assert found["errors"] == {}
    assert found["metrics"].get(semconv.ACTIVE_REQUESTS.name, 0) == 0
    if "request" not in off:
        assert found["metrics"][semconv.REQUESTS.name] == REQUESTS


@pytest.mark.parametrize("name", FURTHER)
def test_further_private_names_may_go(core: str, told: Any, name: str) -> None:
    """Requests are untouched, and where anything is lost, one warning for each loss tells so."""
    found = told(name)
    assert found["results"] == ALL_WELL
    off = {seam for seam, value in found["seams"].items() if not value}
    assert len(found["warnings"]) == len(off) + len(found["errors"])
    if not off and not found["errors"]:
        assert found["metrics"][semconv.REQUESTS.name] == REQUESTS
        assert found["metrics"][semconv.ACTIVE_REQUESTS.name] == 0


def test_whole_library_has_every_seam(
    core: str, run: Run, server: HTTP1Server, listen: Listen
) -> None:
    """The same program with the library as it is: every seam is 1, and nobody is warned."""
    second = listen(HTTP2Server)
    found = json.loads(run("seams.py", core, server.url(), second.url()).splitlines()[-1])
    assert found["results"] == ALL_WELL
    assert set(found["seams"].values()) == {1}
    assert found["warnings"] == []
    assert found["errors"] == {}
    assert found["metrics"][semconv.REQUESTS.name] == REQUESTS


def test_without_h2_no_seam_is_missing(run: Run, server: HTTP1Server) -> None:
    """Most programs lack it: there is no HTTP/2 to be blind to, and nothing to warn of."""
    found = json.loads(run("without_h2.py", server.url()).splitlines()[-1])
    assert found["results"] == ["200", "200"]
    assert found["warnings"] == []
    assert set(found["seams"].values()) == {1}
    assert "http2" not in found["seams"]

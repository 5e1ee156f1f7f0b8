"""A version of aiohttp that lacks a private name: only what rests on it is off, and it is said."""

from __future__ import annotations

import json
import re
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.http1 import HTTP1Server
from support.script import Reply

from .conftest import Run

ALL_WELL = ["200", "ConnectionTimeoutError", "200", "200", "TimeoutError", "200"]
ALL_WELL += ["ClientConnectorError"]
EVERYTHING = {"state", "request"}
SEAMS = {
    "ResponseHandler": {
        "close_reason",
        "connection_close",
        "connection_setup",
        "read",
        "release",
        "request",
        "response",
    },
    "_acquired": EVERYTHING,
    "_cancelled": {"total_timeout"},
    "_close": {"pool_close"},
    "_closed": EVERYTHING,
    "_conns": EVERYTHING,
    "_create_connection": {"connection_setup"},
    "_exception": {"release", "request"},
    "_force_close": EVERYTHING,
    "_keepalive_timeout": EVERYTHING,
    "_limit": EVERYTHING,
    "_limit_per_host": EVERYTHING,
    "_payload": {"close_reason", "connection_close"},
    "_protocol": {"read"},
    "_release": {"release", "request"},
    "_timer": {"total_timeout"},
    "_wait": {"read"},
    "_wait_for_available_connection": {"wait"},
}
"""Private names, and what is off without each."""
FURTHER = [
    "_acquired_per_host",
    "_available_connections",
    "_cleanup",
    "_connection",
    "_factory",
    "_get",
    "_loop",
    "_release_acquired",
    "_release_waiter",
    "_should_close",
    "_socket_factory",
    "_TransportPlaceholder",
    "_upgraded",
    "_waiters",
]
"""Private names that nothing rests on."""


@pytest.fixture
def told(tmp_path: Path, server: HTTP1Server, run: Run) -> Any:
    """What a program told that ran with a copy of aiohttp whose name for this is another.

    Without the parts in C, which know some of the names too.
    """

    def with_renamed(name: str | None) -> dict[str, Any]:
        copy = tmp_path / "aiohttp"
        shutil.copytree(
            Path(str(aiohttp.__file__)).parent,
            copy,
            ignore=shutil.ignore_patterns("__pycache__", "*.so"),
        )
        renamed = 0
        for source in copy.rglob("*.py") if name else ():
            text, number = re.subn(rf"\b{name}\b", f"{name}_anew", source.read_text())
            source.write_text(text)
            renamed += number
        assert renamed or name is None, f"aiohttp has no {name}"
        late = server.reply("/late", Reply(head_after=0.2))
        output = run(
            "aiohttp_seams.py",
            server.url(),
            late,
            path=str(tmp_path),
            AIOHTTP_NO_EXTENSIONS="1",
        )
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
        assert version("aiohttp") in warning
    assert found["errors"] == {}
    if "request" in off:
        assert semconv.REQUESTS.name not in found["metrics"]
    else:
        assert found["metrics"][semconv.REQUESTS.name] == len(ALL_WELL)
        assert found["metrics"][semconv.ACTIVE_REQUESTS.name] == 0


@pytest.mark.parametrize("name", [None, *FURTHER])
def test_further_private_names_may_go(told: Any, name: str | None) -> None:
    """Every seam is 1, nobody is warned, and all requests are counted."""
    found = told(name)
    assert found["results"] == ALL_WELL
    assert set(found["seams"].values()) == {1}
    assert found["warnings"] == []
    assert found["errors"] == {}
    assert found["metrics"][semconv.REQUESTS.name] == len(ALL_WELL)
    assert found["metrics"][semconv.ACTIVE_REQUESTS.name] == 0

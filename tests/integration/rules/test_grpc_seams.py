"""A version of gRPC that lacks a private name: only what rests on it is off, and it is said."""

from __future__ import annotations

import json
import re
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import grpc
import pytest

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.grpc_server import GrpcServer
from support.listener import Listen
from support.network import refused_url

from .conftest import Run

ALL_WELL = ["b'ok'", "b'ok'", "[b'ok']", "b'ok'", "True", "UNAVAILABLE"]
ALL_WELL += ["b'ok'", "[b'ok']", "True", "UNAVAILABLE"]
SYNC, ASYNC = 6, 4
SEAMS = {
    "_ChannelCallState": ({"sync_request", "pool_owner"}, ASYNC),
    "_MultiThreadedRendezvous": ({"head", "read"}, SYNC + ASYNC),
    "_Rendezvous": ({"sync_release"}, None),
    "_StreamResponseMixin": ({"head", "read"}, SYNC + ASYNC),
    "_UnaryUnaryMultiCallable": ({"sync_request", "pool_owner"}, ASYNC),
    "_blocking": ({"sync_request", "pool_owner"}, ASYNC),
    "_close": ({"pool_close"}, SYNC + ASYNC),
    "_next": ({"read"}, SYNC + ASYNC),
    "_preparation": ({"head"}, SYNC + ASYNC),
    "_read": ({"read"}, SYNC + ASYNC),
    "_register_call": ({"earlier_channels"}, SYNC + ASYNC),
}
"""Private names, what is off without each, and how many calls are counted all the same."""
FURTHER = [
    "_active_calls",
    "_connectivity_state",
    "_fetch_stream_responses",
    "_invoke",
    "_managed_call",
    "_python_channel",
    "_references",
    "_send_unary_request",
]
"""Private names that nothing rests on, but for channels from before."""


@pytest.fixture
def told(tmp_path: Path, listen: Listen, run: Run) -> Any:
    """What a program told that ran with a copy of gRPC whose name for this is another."""

    def with_renamed(name: str | None) -> dict[str, Any]:
        original, copy = Path(str(grpc.__file__)).parent, tmp_path / "grpc"
        ignored = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd")
        shutil.copytree(original, copy, ignore=ignored)
        for compiled in (original / "_cython").glob("*.so"):
            (copy / "_cython" / compiled.name).symlink_to(compiled)
        renamed = 0
        for source in copy.rglob("*.py") if name else ():
            text, number = re.subn(rf"(?<!\w){name}\b", f"{name}_anew", source.read_text())
            source.write_text(text)
            renamed += number
        assert renamed or name is None, f"gRPC has no {name}"
        nobody = refused_url().removeprefix("http://").strip("/")
        output = run("grpc_seams.py", listen(GrpcServer).target, nobody, path=str(tmp_path))
        found: dict[str, Any] = json.loads(output.splitlines()[-1])
        return found

    return with_renamed


@pytest.mark.parametrize("name", SEAMS)
def test_only_what_rests_on_a_missing_seam_is_off(told: Any, name: str) -> None:
    """Calls are untouched; one warning for each seam names the version; its metric says 0."""
    expected, counted = SEAMS[name]
    found = told(name)
    assert found["results"] == ALL_WELL
    off = {seam for seam, value in found["seams"].items() if not value}
    assert off == expected
    assert len(found["warnings"]) == len(off)
    for seam in off:
        (warning,) = [text for text in found["warnings"] if repr(seam) in text]
        assert version("grpcio") in warning
    assert found["errors"] == {}
    if counted is not None:
        assert found["metrics"][semconv.REQUESTS.name] == counted
    assert found["metrics"][semconv.ACTIVE_REQUESTS.name] == 0


@pytest.mark.parametrize("name", [None, *FURTHER])
def test_further_private_names_may_go(told: Any, name: str | None) -> None:
    """Every seam is 1, nobody is warned, and all calls are counted."""
    found = told(name)
    assert found["results"] == ALL_WELL
    assert set(found["seams"].values()) == {1}
    assert found["warnings"] == []
    assert found["errors"] == {}
    assert found["metrics"][semconv.REQUESTS.name] == len(ALL_WELL)
    assert found["metrics"][semconv.ACTIVE_REQUESTS.name] == 0

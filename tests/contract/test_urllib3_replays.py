"""Responses that a test tool replays in place of the connection: no request goes out."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clients import Runner
from support.http1 import HTTP1Server
from support.libraries import Library
from support.outcomes import assert_rows, new
from support.telemetry import Telemetry

vcr: Any = pytest.importorskip("vcr", reason="vcrpy is not installed")

pytestmark = pytest.mark.modes("sync")


@pytest.mark.parametrize("how", ["preloaded", "read", "not released"])
def test_replays_of_vcrpy_are_no_requests(
    runner: Runner,
    library: Library,
    server: HTTP1Server,
    telemetry: Telemetry,
    tmp_path: Path,
    how: str,
) -> None:
    """The request that is recorded counts; its replays are neither cancelled nor in flight."""
    url = server.url()
    cassette = str(tmp_path / "cassette.yaml")

    def ask() -> None:
        pool: Any = runner.pool(library)
        response = pool.open(url, preload_content=how == "preloaded")
        assert (response.read() if how == "read" else response.data) == b"ok"

    with vcr.use_cassette(cassette):
        ask()
    assert_rows(telemetry, new())
    with vcr.use_cassette(cassette, allow_playback_repeats=True) as replayed:
        for _ in range(3):
            ask()
    assert replayed.play_count == 3
    gc.collect()
    assert telemetry.by(semconv.REQUESTS, "status", "error") == {(200, None): 1}
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0
    assert telemetry.value(semconv.CONNECTION_OPENED) == 1


def test_replay_after_a_recording_on_the_same_connection(
    runner: Runner, library: Library, server: HTTP1Server, telemetry: Telemetry, tmp_path: Path
) -> None:
    """An established connection is given back without an answer, and serves on."""
    pool: Any = runner.pool(library, max_connections=1)
    url = server.url()
    with vcr.use_cassette(str(tmp_path / "cassette.yaml"), allow_playback_repeats=True) as cassette:
        for _ in range(3):
            assert pool.open(url, preload_content=True).data == b"ok"
    assert cassette.play_count == 2
    assert telemetry.by(semconv.REQUESTS, "status", "error") == {(200, None): 1}
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0

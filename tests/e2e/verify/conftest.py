"""Programs that export, and the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.programs import Store
from opentelemetry.instrumentation.gluellm.cli.fake_provider import FakeProvider
from opentelemetry.instrumentation.gluellm.cli.main import main
from support.waiting import wait_until

_PROGRAM = Path(__file__).parent / "program.py"
_ARRIVES_WITHIN = 60.0
_ENDS_WITHIN = 20.0

Run = Callable[..., "subprocess.Popen[bytes]"]
Verify = Callable[..., tuple[int, str]]


@pytest.fixture
def run(provider: FakeProvider) -> Iterator[Run]:
    """Starts a program with these settings; returns once its calls run."""
    started: list[subprocess.Popen[bytes]] = []

    def start(**settings: Any) -> subprocess.Popen[bytes]:
        resource = {"service.name": "answers", "service.instance.id": f"worker-{len(started)}"}
        whole = {
            "provider": provider.openai_url,
            "resource": resource,
            "endpoint": "",
            "port": 0,
            "interval": 0.5,
            "behind": 0,
            "exponential": False,
            "instrument": "gluellm",
            "calls": "any_llm",
            "temporality": "cumulative",
            **settings,
        }
        keep = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        variable = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
        process = subprocess.Popen(
            [sys.executable, _PROGRAM, json.dumps(whole)],
            env={**keep, variable: whole["temporality"]},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process

    yield start
    for process in started:
        assert process.stdin is not None
        process.stdin.close()
    for process in started:
        try:
            process.wait(_ENDS_WITHIN)
        finally:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def end(process: subprocess.Popen[bytes]) -> None:
    """End a program that `run` started, as a user does before starting it anew."""
    assert process.stdin is not None
    process.stdin.close()
    process.wait(_ENDS_WITHIN)


@pytest.fixture
def verify(capsys: pytest.CaptureFixture[str]) -> Verify:
    """Runs the command on a URL: its exit status, and what it printed, in one line."""

    def command(url: str, *options: str) -> tuple[int, str]:
        capsys.readouterr()
        status = main(["verify", "--prometheus", url, *options])
        printed = capsys.readouterr()
        return status, " ".join((printed.out + printed.err).split())

    return command


def arrived(store: Store, promql: str) -> None:
    """Wait until a query has an answer."""
    wait_until(lambda: bool(store.query(promql)), promql, _ARRIVES_WITHIN)

"""The doctor as a program of its own, and a fake provider for the programs that it looks after."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from opentelemetry.instrumentation.gluellm.cli.fake_provider import (
    Behaviour,
    FakeProvider,
    FakeProviderThread,
)

PYTHON = sys.executable
SCRIPTS = Path(__file__).with_name("scripts")
LEAKING, CALLING = SCRIPTS / "leaking.py", SCRIPTS / "calling.py"
DOCTOR = [PYTHON, "-m", "opentelemetry.instrumentation.gluellm.cli.main", "doctor"]
TIMEOUT = 60

Start = Callable[..., subprocess.Popen[str]]
Doctor = Callable[..., subprocess.CompletedProcess[str]]

needs_any_llm = pytest.mark.skipif(
    importlib.util.find_spec("any_llm") is None or importlib.util.find_spec("openai") is None,
    reason="needs any-llm and openai",
)


def line_number(script: Path, text: str) -> int:
    """Where in a script the only line with this text stands."""
    lines = script.read_text().splitlines()
    (number,) = (n for n, line in enumerate(lines, 1) if text in line)
    return number


def line_of(process: subprocess.Popen[str]) -> str:
    """The next line that a process prints."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    """A fake LLM provider whose streams take 0.4 s."""
    with FakeProviderThread(behaviour=Behaviour(tokens=20, token_rate=50)) as running:
        yield running


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Ours without settings, with a place of this test's own for temporary files."""
    place = tmp_path / "temporary"
    place.mkdir()
    kept = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    return {**kept, "TMPDIR": str(place), "OTEL_PYTHON_GLUELLM_LEAK_THRESHOLD": "2"}


@pytest.fixture
def doctor(environment: dict[str, str]) -> Doctor:
    """Run the doctor to its end."""

    def run(*arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*DOCTOR, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            env={**environment, **more},
            check=False,
        )

    return run


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Start]:
    """Start a program with pipes; what still runs in the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def run(*command: object, **more: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**environment, **more},
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()

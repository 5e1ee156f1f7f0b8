"""Fixtures: the doctor, programs that it observes, and a fake provider for these."""

import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from gluellm_pools.fake_provider import Behaviour, FakeProvider, FakeProviderThread
from gluellm_pools.main import main

from . import answering
from .answering import Begin, next_line

PYTHON = sys.executable
SCRIPTS = Path(__file__).with_name("scripts")
LEAKING, CALLING = SCRIPTS / "leaking.py", SCRIPTS / "calling.py"
LAUNCHER = Path(PYTHON).with_name("opentelemetry-instrument")
DOCTOR = [PYTHON, "-m", answering.MAIN, "doctor"]

has_signals = pytest.mark.skipif(not hasattr(signal, "SIGUSR2"), reason="no such signals here")
only_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
needs_any_llm = pytest.mark.skipif(
    importlib.util.find_spec("any_llm") is None or importlib.util.find_spec("openai") is None,
    reason="needs any-llm and openai",
)
needs_launcher = pytest.mark.skipif(
    not LAUNCHER.exists() or importlib.util.find_spec("opentelemetry.distro") is None,
    reason="needs opentelemetry-distro",
)


class Done(NamedTuple):
    """Exit status and output of the doctor."""

    returncode: int
    stdout: str
    stderr: str


Doctor = Callable[..., Done]


def line_number(script: Path, text: str) -> int:
    """Return the number of the only line with this text in a script."""
    lines = script.read_text().splitlines()
    (number,) = (n for n, line in enumerate(lines, 1) if text in line)
    return number


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    """A fake LLM provider whose streams take 0.4 s."""
    with FakeProviderThread(behaviour=Behaviour(tokens=20, token_rate=50)) as running:
        yield running


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Directory for temporary files, also of this process, in an environment without settings."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setenv("OTEL_PYTHON_GLUELLM_LEAK_THRESHOLD", "2")
    return place


@pytest.fixture
def private(place: Path) -> Path:
    """Directory through which the doctor and processes communicate."""
    return place / f"gluellm-pools-{os.geteuid()}"


@pytest.fixture
def begin(place: Path) -> Iterator[Begin]:
    """Start programs, which are killed after the test."""
    begun: list[subprocess.Popen[str]] = []

    def begin(*code: object, until: str = "ready", **more: str) -> subprocess.Popen[str]:
        run = answering.start if len(code) > 1 else answering.answering
        paths = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")} if len(code) > 1 else {}
        process = run(*code, **{"TMPDIR": str(place), **paths, **more})
        begun.append(process)
        while until and (line := next_line(process)) != until:
            assert line, process.communicate()[1]
        return process

    yield begin
    for process in begun:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def doctor(place: Path, capfd: pytest.CaptureFixture[str]) -> Doctor:
    """Run the doctor in this process."""

    def run(*arguments: object, **more: str) -> Done:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tempfile, "tempdir", None)  # else it caches an earlier test's directory
            for name, value in more.items():
                patch.setenv(name, value)
            try:
                status = main(["doctor", *map(str, arguments)])
            except SystemExit as ended:
                status = int(ended.code or 0)
        done = Done(status, *capfd.readouterr())
        assert "Traceback" not in done.stderr
        return done

    return run

"""Fixtures: programs that export, and the `verify` command."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.processes import environment
from e2e.programs import Store
from gluellm_pools.fake_provider import FakeProviderThread
from gluellm_pools.main import main
from support.waiting import wait_until

SEVERAL = "count_over_time(gluellm_pool_lease_duration_seconds_count[1m]) > 10"
"""Enough exports for rates; VictoriaMetrics returns none in the first two seconds."""
_PROGRAM = Path(__file__).parent / "program.py"
_ARRIVES_WITHIN = 60.0

Verify = Callable[..., tuple[int, str]]


class Programs:
    """Start and end programs that export."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._running: list[int] = []
        self._count = 0
        self._forking = subprocess.Popen(
            [sys.executable, _PROGRAM],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._line() == "imported"

    def __call__(self, **settings: Any) -> None:
        """Start a program with these settings, and wait until it makes calls."""
        resource = {"service.name": "answers", "service.instance.id": f"worker-{self._count}"}
        whole = {
            "provider": self._provider,
            "resource": resource,
            "endpoint": "",
            "port": 0,
            "interval": 0.3,
            "behind": 0,
            "exponential": False,
            "instrument": "gluellm",
            "calls": "any_llm",
            "temporality": "cumulative",
            **settings,
        }
        assert self._forking.stdin is not None
        self._forking.stdin.write(json.dumps(whole) + "\n")
        self._forking.stdin.flush()
        self._running.append(int(self._line()))
        self._count += 1

    def end(self) -> None:
        """End all programs with SIGTERM, as a user does before a restart."""
        for process in self._running:
            os.kill(process, signal.SIGTERM)
        wait_until(lambda: not any(map(_lives, self._running)), "programs end")
        self._running.clear()
        self._count = 0

    def close(self) -> None:
        """Kill the programs that are still running."""
        self._forking.communicate(timeout=20)

    def _line(self) -> str:
        assert self._forking.stdout is not None
        return self._forking.stdout.readline().strip()


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="package")
def programs() -> Iterator[Programs]:
    """The programs of all tests, and the provider that they call."""
    with FakeProviderThread() as provider:
        programs = Programs(provider.openai_url)
        try:
            yield programs
        finally:
            programs.close()


@pytest.fixture
def run(programs: Programs) -> Iterator[Programs]:
    """Programs for one test."""
    yield programs
    programs.end()


@pytest.fixture
def verify(capsys: pytest.CaptureFixture[str]) -> Verify:
    """Run the command on a URL. Returns its exit status and its output in one line."""

    def command(url: str, *options: str) -> tuple[int, str]:
        capsys.readouterr()
        status = main(["verify", "--prometheus", url, *options])
        printed = capsys.readouterr()
        return status, " ".join((printed.out + printed.err).split())

    return command


def arrived(store: Store, promql: str = SEVERAL) -> None:
    """Wait until a query has a result."""
    wait_until(lambda: bool(store.query(promql)), promql, _ARRIVES_WITHIN)

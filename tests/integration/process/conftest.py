"""The instrumentation in this process, and programs of their own process, for the host's sake."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.attribution.context import current_call
from support.installation import instrument
from support.telemetry import Telemetry

TESTS = Path(__file__).parents[2]
PROGRAMS = Path(__file__).with_name("programs")
PATIENCE = 60.0
"""Seconds after which a program hangs. It takes one or two where the machine has nothing to do."""


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """The instrumentation, on for every pool."""
    made = Telemetry()
    instrument(made)
    yield made
    GlueLLMInstrumentor().uninstrument()
    made.shutdown()


@pytest.fixture(autouse=True)
def no_call() -> Iterator[None]:
    """What an interrupted call left in the context has ended. Other tests ask for none at all."""
    yield
    current_call.set(None)


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended."""

    status: int
    out: str
    err: str


Run = Callable[..., Finished]


@pytest.fixture
def run(record_property: Callable[[str, object], None]) -> Run:
    """Run one of the programs in a process of its own. A hang is a failure.

    ``options`` are the interpreter's, further keywords variables of the environment.
    """

    def run_program(
        name: str, *arguments: str, options: tuple[str, ...] = (), **environment: str
    ) -> Finished:
        variables = {**os.environ, "PYTHONPATH": str(TESTS), **environment}
        command = [sys.executable, *options, str(PROGRAMS / name), *arguments]
        record_property("programs run", 1)
        with subprocess.Popen(
            command,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as program:
            try:
                out, err = program.communicate(timeout=PATIENCE)
            except BaseException as error:
                # Its children too: each of them holds the pipes open.
                os.killpg(program.pid, signal.SIGKILL)
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
                out, err = program.communicate()
                raise AssertionError(f"{name} {arguments} hangs: {out!r} {err!r}") from None
        return Finished(program.returncode, out, err)

    return run_program

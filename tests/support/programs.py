"""Run programs in processes of their own."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gluellm_pools.fake_provider import FakeProvider

from .waiting import PATIENCE

_TESTS = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended."""

    status: int
    out: str
    err: str


def run_program(
    program: Path, *arguments: str, options: tuple[str, ...] = (), **environment: str
) -> Finished:
    """Run a program with this interpreter. Raises AssertionError if it hangs.

    ``options`` are the interpreter's, further keywords variables of the environment.
    """
    path = os.pathsep.join(filter(None, (str(_TESTS), os.environ.get("PYTHONPATH", ""))))
    with subprocess.Popen(
        [sys.executable, *options, str(program), *arguments],
        env={**os.environ, "PYTHONPATH": path, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running:
        try:
            out, err = running.communicate(timeout=PATIENCE)
        except BaseException as error:
            # Its children too: each of them holds the pipes open.
            os.killpg(running.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            out, err = running.communicate()
            raise AssertionError(f"{program.name} {arguments} hangs: {out!r} {err!r}") from None
    return Finished(running.returncode, out, err)


def run_code(
    program: str,
    *arguments: str,
    launcher: Sequence[str] = (),
    cwd: Path | None = None,
    **more: str,
) -> subprocess.CompletedProcess[str]:
    """Run Python code, and assert that it ends with status 0."""
    code, warnings = textwrap.dedent(program), "error::DeprecationWarning:__main__"
    done = subprocess.run(
        [*launcher, sys.executable, "-W", warnings, "-c", code, *arguments],
        env={**os.environ, **more},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=cwd,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def gluellm_environment(server: FakeProvider) -> dict[str, str]:
    """Variables that lead GlueLLM to a fake provider. GlueLLM reads them when it is imported."""
    return {
        "OPENAI_API_KEY": "any",
        "ANTHROPIC_API_KEY": "any",
        "OPENAI_BASE_URL": server.openai_url,
        "ANTHROPIC_BASE_URL": server.anthropic_url,
        "GLUELLM_LOG_LEVEL": "ERROR",
        "GLUELLM_PRINT_SESSION_SUMMARY_ON_EXIT": "false",
    }


def run_with_gluellm(
    program: str, *arguments: str, home: Path, server: FakeProvider
) -> subprocess.CompletedProcess[str]:
    """Run code that uses GlueLLM, whose changes to any-llm cannot be undone."""
    variables = {"HOME": str(home), **gluellm_environment(server)}
    return run_code(program, *arguments, cwd=home, **variables)

"""Programs that run in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from opentelemetry.instrumentation.gluellm.cli.fake_provider import FakeProvider


def run_program(
    program: str,
    *arguments: str,
    launcher: Sequence[str] = (),
    cwd: Path | None = None,
    **more: str,
) -> subprocess.CompletedProcess[str]:
    """A Python program that ends well."""
    code, warnings = textwrap.dedent(program), "error::DeprecationWarning:__main__"
    done = subprocess.run(
        [
            *launcher,
            sys.executable,
            "-W",
            warnings,
            "-c",
            code,
            *arguments,
        ],
        env={**os.environ, **more},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=cwd,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def run_with_gluellm(
    program: str, *arguments: str, home: Path, server: FakeProvider
) -> subprocess.CompletedProcess[str]:
    """One that uses GlueLLM: what that changes in any-llm, it changes for good."""
    return run_program(
        program,
        *arguments,
        cwd=home,
        HOME=str(home),
        OPENAI_API_KEY="any",
        ANTHROPIC_API_KEY="any",
        OPENAI_BASE_URL=server.openai_url,
        ANTHROPIC_BASE_URL=server.anthropic_url,
        GLUELLM_LOG_LEVEL="ERROR",
        GLUELLM_PRINT_SESSION_SUMMARY_ON_EXIT="false",
    )


def demo(*scenarios: str, seconds: float) -> str:
    """A program that plays the demo's scenarios, for less time than its command allows."""
    return f"""
import sys
from opentelemetry.instrumentation.gluellm.cli.demo.run import run
sys.exit(any(run(scenario, {seconds}, 0) for scenario in {scenarios!r}))
"""

"""Runs tests/compat and the auto-instrumentation test in environments that lack something.

``python tests/compat/run.py [--python python3.12] [name ...]``; without names it runs all. Each
environment is a virtual environment of its own in .venvs, made by the interpreter that ``--python``
names (default: the one that runs this). Exits 1 when one of them fails.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

ANY_LLM = "any-llm-sdk[openai,anthropic]>=1.40"
HTTP_INSTRUMENTATION = "opentelemetry-instrumentation-httpx>=0.65b0"


def opentelemetry(stable: str, beta: str) -> tuple[str, ...]:
    """One release of OpenTelemetry, whose packages have two version numbers."""
    return (
        f"opentelemetry-api=={stable}",
        f"opentelemetry-sdk=={stable}",
        f"opentelemetry-instrumentation=={beta}",
        f"opentelemetry-semantic-conventions=={beta}",
        f"opentelemetry-distro=={beta}",
    )


@dataclass(frozen=True, slots=True)
class Environment:
    """What is installed beside the package, and what must not be there."""

    requirements: tuple[str, ...]
    absent: tuple[str, ...] = ()
    """Modules that must not be importable."""
    tests: tuple[str, ...] = (
        "tests/compat/test_environment.py",
        "tests/integration/auto_instrument",
    )


ENVIRONMENTS = {
    "without-gluellm": Environment(
        (ANY_LLM, HTTP_INSTRUMENTATION),
        absent=("gluellm",),
    ),
    "without-httpx-instrumentation": Environment(
        (ANY_LLM,),
        absent=("gluellm", "opentelemetry.instrumentation.httpx"),
    ),
    "without-any-llm": Environment(
        ("httpx>=0.28", "httpx2>=2.16", HTTP_INSTRUMENTATION),
        absent=("any_llm", "gluellm"),
    ),
    "without-httpx2": Environment(
        ("httpx>=0.28", HTTP_INSTRUMENTATION),
        absent=("any_llm", "httpx2", "httpcore2"),
    ),
    "openai-2": Environment(
        (ANY_LLM, "openai<3", HTTP_INSTRUMENTATION),
        absent=("gluellm", "httpx2"),
    ),
    "oldest-httpx": Environment(
        ("httpx==0.27.0", "httpcore==1.0.3"),
        absent=("any_llm", "httpx2", "httpcore2"),
    ),
    "oldest-httpx2": Environment(
        ("httpx2==2.0.0", "httpcore2==2.0.0"),
        absent=("any_llm", "httpx", "httpcore"),
    ),
    # The last whose pools are built otherwise: none of the seams is there.
    "httpcore-without-seams": Environment(
        ("httpx==0.27.0", "httpcore==1.0.2"),
        absent=("any_llm", "httpx2", "httpcore2"),
        tests=("tests/compat/test_seams.py",),
    ),
    "oldest-other-libraries": Environment(
        ("aiohttp==3.11.0", "urllib3==1.26.20", "grpcio==1.72.1"),
        absent=("any_llm", "httpx", "httpx2"),
        tests=("tests/compat/test_libraries.py",),
    ),
    "oldest-opentelemetry": Environment(
        (ANY_LLM, *opentelemetry("1.30.0", "0.51b0")),
        absent=("gluellm", "opentelemetry.instrumentation.httpx"),
    ),
    # The last whose loader asks instrumentation_dependencies() and not the metadata.
    "opentelemetry-0.56b0": Environment(
        (ANY_LLM, *opentelemetry("1.35.0", "0.56b0")),
        absent=("gluellm", "opentelemetry.instrumentation.httpx"),
    ),
}


def run(name: str, python: str) -> bool:
    """Make one environment and run the tests in it."""
    environment = ENVIRONMENTS[name]
    version = subprocess.check_output(
        [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], text=True
    ).strip()
    folder = ROOT / ".venvs" / f"{name}-{version}"
    interpreter = folder / "bin" / "python"
    subprocess.run([python, "-m", "venv", "--clear", folder], check=True)
    install = [interpreter, "-m", "pip", "install", "--quiet"]
    subprocess.run(
        [
            *install,
            str(ROOT),  # built and installed as users get it
            "pytest>=8.3",
            "pytest-timeout>=2.3",
            "opentelemetry-sdk>=1.30",
            "opentelemetry-distro>=0.51b0",
            *environment.requirements,
        ],
        check=True,
    )
    tests = subprocess.run(
        [
            interpreter,
            "-m",
            "pytest",
            "-q",
            "--noconftest",
            "-p",
            "no:cacheprovider",
            *environment.tests,
        ],
        cwd=ROOT,
        env={**os.environ, "GLUELLM_ABSENT": ",".join(environment.absent)},
        check=False,
    )
    return tests.returncode == 0


def main() -> int:
    """Run the environments that were asked for. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(ENVIRONMENTS))
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - ENVIRONMENTS.keys())
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known are {', '.join(ENVIRONMENTS)}")
    failed = []
    for name in arguments.names or ENVIRONMENTS:
        print(f"--- {name}", flush=True)
        started = time.monotonic()
        try:
            passed = run(name, arguments.python)
        except subprocess.CalledProcessError as error:
            print(error)
            passed = False
        print(f"--- {name}: {'passed' if passed else 'FAILED'}, {time.monotonic() - started:.0f} s")
        if not passed:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""Every method that the package replaces, by asking it: instrument everything, and look."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

LIBRARIES = ("httpcore", "httpcore2", "aiohttp", "urllib3", "grpc")


def replaced() -> list[str]:
    """``module:class:method`` of each, found out in a process of its own."""
    finished = subprocess.run(
        [sys.executable, "-m", "studies.fail_open.discovery"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found: list[str] = json.loads(finished.stdout.splitlines()[-1])
    return found


def _main() -> None:
    from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

    for library in (*LIBRARIES, "grpc.aio", "urllib3.http2.connection"):
        importlib.import_module(library)
    GlueLLMInstrumentor().instrument(scope="all")
    installation = GlueLLMInstrumentor._installation
    assert installation is not None
    found = set()
    for adapter in installation._adapters:
        for patch in adapter._patches._patches.values():
            owner = patch.owner()
            assert owner is not None
            found.add(f"{owner.__module__}:{owner.__qualname__}:{patch.name}")
    GlueLLMInstrumentor().uninstrument()
    print(json.dumps(sorted(found)))


if __name__ == "__main__":
    _main()

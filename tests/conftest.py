"""Fixtures for all tests: certificates, and servers on one background loop."""

import functools
import gc
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from gluellm_diagnosis.diagnose import diagnose
from gluellm_diagnosis.report import report_on
from opentelemetry.instrumentation.gluellm import patching
from support.http1 import HTTP1Server
from support.interrupts import heed_interrupts
from support.listener import L, Listen, Listener, ServerLoop
from support.network import Certificates

heed_interrupts()


def fail(error: Exception) -> None:
    """Raise what a rule raised, which would only be missing else."""
    raise error


for judging in (diagnose, report_on):
    judging.__kwdefaults__["failed"] = fail  # type: ignore[index]
# Each instrument() reads the metadata of six distributions, which takes a fifth of its time.
vars(patching)["version"] = functools.cache(patching.version)  # type: ignore[attr-defined]

_SDKS = ("openai", "anthropic")
"""Providers whose SDKs `make test` installs. `make test-all` installs all SDKs."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of other providers, which `make test` does not run."""
    for item in items:
        if isinstance(item, pytest.Function) and hasattr(item, "callspec"):
            provider = item.callspec.params.get("provider")
            if isinstance(provider, str) and provider not in _SDKS:
                item.add_marker("all_sdks")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip the tests of other providers if their SDKs are not installed."""
    if item.get_closest_marker("all_sdks") and not importlib.util.find_spec("mistralai"):
        pytest.skip("needs the SDKs of all providers: make test-all")


def pytest_configure(config: pytest.Config) -> None:
    """Trust one certificate only: reading the default 270 kB takes each client up to 60 ms."""
    trusted = Path(tempfile.mkdtemp(prefix="gluellm-tests-")) / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(trusted))
    os.environ["SSL_CERT_FILE"] = str(trusted)
    config.add_cleanup(lambda: shutil.rmtree(trusted.parent))


def pytest_collection_finish() -> None:
    """Exclude imported objects from the garbage collections of the tests."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """After a whole suite, print what was not run and the command that runs it."""
    if config.option.keyword:
        return
    if config.args == ["tests/e2e"]:
        not_run = ["unit, contract and integration tests: make test-all"]
    elif config.args == config.getini("testpaths"):
        not_run = ["real programs: make e2e"]
        if "not all_sdks" in config.option.markexpr:
            not_run.insert(0, "SDKs of all providers, GlueLLM: make test-all")
    else:
        return
    not_run.append("studies and the compatibility matrix: make nightly")
    terminalreporter.section("not run")
    terminalreporter.write("".join(f"{what}\n" for what in not_run))


def pytest_xdist_auto_num_workers() -> int:
    """Use two workers per processor, since tests mostly wait."""
    return 2 * (os.cpu_count() or 1)


@pytest.fixture
def anyio_backend() -> str:
    """Run async tests on asyncio.

    Clients that an earlier test dropped are collected first: the finalizers of some SDKs start a
    task in the running loop, whichever that is.
    """
    gc.collect()
    return "asyncio"


@pytest.fixture(scope="session")
def servers() -> Iterator[ServerLoop]:
    """The event loop that all servers of the run share."""
    loop = ServerLoop()
    yield loop
    loop.stop()


@pytest.fixture(scope="session")
def certificates() -> Certificates:
    """The certificate authority of the run."""
    return Certificates.make()


@pytest.fixture
def listen(servers: ServerLoop) -> Iterator[Listen]:
    """Start servers and proxies, and close them at the end of the test."""
    started: list[Listener] = []

    def start(kind: Callable[..., L], /, **settings: Any) -> L:
        started.append(listener := kind(servers, **settings))
        return listener

    yield start
    for listener in reversed(started):
        listener.close()


@pytest.fixture
def server(listen: Listen) -> HTTP1Server:
    """An HTTP/1.1 server without TLS."""
    return listen(HTTP1Server)

"""Fixtures for all tests: servers on one background loop, certificates."""

from __future__ import annotations

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

from support.http1 import HTTP1Server
from support.interrupts import heed_interrupts
from support.listener import L, Listen, Listener, ServerLoop
from support.network import Certificates

heed_interrupts()

_SDKS = ("openai", "anthropic")
"""Providers whose SDKs `make test` installs; `make test-all` installs all of them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is run with another provider, so that `make test` leaves it out."""
    for item in items:
        if isinstance(item, pytest.Function) and hasattr(item, "callspec"):
            provider = item.callspec.params.get("provider")
            if isinstance(provider, str) and provider not in _SDKS:
                item.add_marker("all_sdks")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs another provider's SDK where these are not installed."""
    if item.get_closest_marker("all_sdks") and not importlib.util.find_spec("mistralai"):
        pytest.skip("needs the SDKs of all providers: make test-all")


def pytest_configure(config: pytest.Config) -> None:
    """Trust one certificate: each client that trusts all of them reads 270 kB for up to 60 ms."""
    trusted = Path(tempfile.mkdtemp(prefix="gluellm-tests-")) / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(trusted))
    os.environ["SSL_CERT_FILE"] = str(trusted)
    config.add_cleanup(lambda: shutil.rmtree(trusted.parent))


def pytest_collection_finish() -> None:
    """Leave what was imported out of the collections that tests ask for."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say what a run of the whole suite left out, and the command that runs it."""
    if config.args != config.getini("testpaths") or config.option.keyword:
        return
    left_out = ["real programs: make e2e", "studies and the compatibility matrix: make nightly"]
    if "not all_sdks" in config.option.markexpr:
        left_out.insert(0, "SDKs of all providers, GlueLLM: make test-all")
    terminalreporter.section("not run")
    terminalreporter.write("".join(f"{what}\n" for what in left_out))


def pytest_xdist_auto_num_workers() -> int:
    """One worker more than processors: most of a test is waiting for a clock."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture
def anyio_backend() -> str:
    """Run coroutines that are tests on asyncio.

    Clients that an earlier test dropped are collected first: the finalizers of some SDKs start a
    task in whichever loop runs.
    """
    gc.collect()
    return "asyncio"


@pytest.fixture(scope="session")
def servers() -> Iterator[ServerLoop]:
    """The loop that all servers of the run share."""
    loop = ServerLoop()
    yield loop
    loop.stop()


@pytest.fixture(scope="session")
def certificates() -> Certificates:
    """A certificate authority for the run."""
    return Certificates.make()


@pytest.fixture
def listen(servers: ServerLoop) -> Iterator[Listen]:
    """Start servers and proxies; they are closed when the test is over."""
    started: list[Listener] = []

    def start(kind: Callable[..., L], /, **settings: Any) -> L:
        started.append(listener := kind(servers, **settings))
        return listener

    yield start
    for listener in reversed(started):
        listener.close()


@pytest.fixture
def server(listen: Listen) -> HTTP1Server:
    """An HTTP/1.1 server in cleartext."""
    return listen(HTTP1Server)

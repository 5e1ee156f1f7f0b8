"""Fixtures for all tests: servers on one background loop, certificates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.http1 import HTTP1Server
from support.interrupts import heed_interrupts
from support.listener import L, Listen, Listener, ServerLoop
from support.network import Certificates

heed_interrupts()


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

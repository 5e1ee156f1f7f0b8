"""A race that a library has is not made likelier by us."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpcore
import pytest

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from support.installation import instrument
from support.telemetry import Telemetry

Record = Callable[[str, object], None]
ROUNDS = 200
"""Pools, with 15 to 40 requests each."""
BY_CHANCE = 20
"""Of some 5 500 requests."""


@pytest.fixture
def urls() -> Iterator[list[str]]:
    """Servers in a process of their own."""
    command = [sys.executable, str(Path(__file__).with_name("serving.py")), "3"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        yield [f"http://127.0.0.1:{port}/" for port in program.stdout.readline().split()]
        program.communicate(timeout=10)


def fail(urls: list[str]) -> int:
    """How many requests of many threads fail, in pools that keep fewer than they open."""
    failures: list[httpcore.ReadError] = []

    def send(pool: httpcore.ConnectionPool, url: str) -> None:
        try:
            # The race may also have a request wait for an answer to what was never sent.
            pool.request("GET", url, extensions={"timeout": {"read": 2.0}})
        except httpcore.ReadError as error:
            failures.append(error)
        except httpcore.ReadTimeout:
            pass

    dice = random.Random(1110)
    for _ in range(ROUNDS):
        most = dice.choice((1, 2, 3))
        settings = {
            "max_connections": most,
            "max_keepalive_connections": dice.choice((None, 1, 0, most)),
            "keepalive_expiry": dice.choice((None, 5.0, 0.02)),
        }
        with httpcore.ConnectionPool(**settings) as pool:
            threads = []
            for _ in range(dice.randint(15, 40)):
                thread = threading.Thread(target=send, args=(pool, dice.choice(urls)))
                threads.append(thread)
                thread.start()
                if dice.random() < 0.5:
                    time.sleep(dice.random() * 0.003)
            for thread in threads:
                thread.join()
    return len(failures)


def test_connection_that_is_given_away_and_closed(urls: list[str], record_property: Record) -> None:
    """httpcore 1.0 may close an idle connection that it has just given to a request.

    That request takes another one if it finds it closed, and fails if it has begun by then:
    https://github.com/encode/httpcore/issues/1110
    """
    without = fail(urls)
    telemetry = Telemetry()
    instrument(telemetry)
    try:
        with_it = fail(urls)
    finally:
        GlueLLMInstrumentor().uninstrument()
        telemetry.shutdown()
    print(f"requests that failed: {without} without, {with_it} with the instrumentation")
    record_property("requests that a race of httpcore failed, off", without)
    record_property("requests that a race of httpcore failed, on", with_it)
    assert with_it <= without + BY_CHANCE

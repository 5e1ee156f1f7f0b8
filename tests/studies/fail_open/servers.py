"""The servers that all trials talk to."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from support.grpc_server import GrpcServer
from support.http1 import HTTP1Server
from support.http2 import HTTP2Server
from support.listener import ServerLoop
from support.network import refused_url
from support.script import Failure, Reply

from .judging import complaints
from .nursery import PATIENCE
from .sending import Servers
from .trial import Break, Outcome

TESTS = Path(__file__).parents[2]
_START = 60
"""Seconds for the nursery to begin, on a busy machine."""


@contextlib.contextmanager
def served() -> Iterator[Servers]:
    """Servers on the loopback, for as long as it lasts."""
    loop = ServerLoop()
    http1, http2, grpc = HTTP1Server(loop), HTTP2Server(loop), GrpcServer(loop)
    grpc.reply("/late", Reply(head_after=0.3))
    nobody = refused_url()
    try:
        yield Servers(
            http1=http1.url(),
            http2=http2.url(),
            late=http1.reply("/late", Reply(head_after=0.3)),
            never=http1.reply("/never", Reply(head_after=60.0)),
            chunked=http1.reply(
                "/chunked", Reply(chunks=((0.0, b"one"), (0.005, b"two"), (0.0, b"three")))
            ),
            broken=http1.reply(
                "/broken", Reply(chunks=((0.0, b"one"),), failure=Failure.EOF_IN_BODY)
            ),
            grpc=grpc.target,
            nobody=nobody,
        )
    finally:
        for server in (http1, http2, grpc):
            server.close()
        loop.stop()


LONGEST_TRIAL = PATIENCE + 15
"""Seconds after which the last trial has ended, however it hangs."""


def tried(
    breaks: Iterable[Break],
    servers: Servers,
    at_once: int = 2,
    until: float = math.inf,
) -> Iterator[tuple[Break, Outcome, float]]:
    """Try each break, and give what came of it. None is begun with after ``until``.

    Raises AssertionError where the program that does so does not end in time.
    """
    left = max(0.0, until - time.monotonic())
    program = subprocess.Popen(
        [sys.executable, "-m", "studies.fail_open.nursery", str(at_once), str(left)],
        cwd=TESTS,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert program.stdin is not None
    assert program.stdout is not None
    # With all that it has started: they hold the other end of what is read here.
    watchdog = threading.Timer(
        min(left + LONGEST_TRIAL + _START, threading.TIMEOUT_MAX), _end, [program]
    )
    watchdog.daemon = True
    watchdog.start()
    try:
        program.stdin.write(json.dumps(asdict(servers)) + "\n")
        for what in breaks:
            program.stdin.write(json.dumps(asdict(what)) + "\n")
        program.stdin.close()
        for line in program.stdout:
            found: dict[str, Any] = json.loads(line)
            seconds = found["outcome"].pop("seconds")
            yield Break(**found["break"]), Outcome(**found["outcome"]), seconds
        assert program.wait(10) == 0, "the trials were ended, or their nursery failed"
    finally:
        watchdog.cancel()
        _end(program)
        program.wait(10)


def _end(program: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(program.pid, signal.SIGKILL)


def judged(
    breaks: Iterable[Break], servers: Servers, at_once: int = 2, within: float = math.inf
) -> Iterator[tuple[Break, Outcome, list[str]]]:
    """Try each break, and give what did not hold.

    What depends on time can be another thing on a busy machine, without us as well. So a break that
    something did not hold with is tried once more, alone, and its outcome says so. After ``within``
    seconds no break is begun with, and half as long after that none is tried again: then what did
    not hold at first stands.
    """
    until = time.monotonic() + within
    again: dict[Break, Outcome] = {}
    for what, outcome, _ in tried(breaks, servers, at_once, until):
        if any(complaints(what, outcome)):
            again[what] = outcome
        else:
            yield what, outcome, []
    until = max(until, time.monotonic()) + within / 2
    for what, outcome, _ in tried(tuple(again), servers, 1, until) if again else ():
        del again[what]
        outcome.tries = 2
        yield what, outcome, list(complaints(what, outcome))
    for what, outcome in again.items():
        yield what, outcome, list(complaints(what, outcome))

"""The servers that all trials talk to."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
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
from .sending import Servers
from .trial import Break, Outcome

TESTS = Path(__file__).parents[2]


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


def tried(
    breaks: Iterable[Break], servers: Servers, at_once: int = 2
) -> Iterator[tuple[Break, Outcome]]:
    """Try each break, and give what came of it, in the order of their ends."""
    program = subprocess.Popen(
        [sys.executable, "-m", "studies.fail_open.nursery", str(at_once)],
        cwd=TESTS,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert program.stdin is not None
    assert program.stdout is not None
    try:
        program.stdin.write(json.dumps(asdict(servers)) + "\n")
        for what in breaks:
            program.stdin.write(json.dumps(asdict(what)) + "\n")
        program.stdin.close()
        for line in program.stdout:
            found: dict[str, Any] = json.loads(line)
            yield Break(**found["break"]), Outcome(**found["outcome"])
        assert program.wait(10) == 0, "the nursery of the trials failed"
    finally:
        _end(program)
        program.wait(10)


def _end(program: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(program.pid, signal.SIGKILL)


def judged(
    breaks: Iterable[Break], servers: Servers, at_once: int = 2
) -> Iterator[tuple[Break, Outcome, list[str]]]:
    """Try each break, and give what did not hold.

    What depends on time can be another thing on a busy machine, without us as well. So a break that
    something did not hold with is tried once more, alone, and its outcome says so.
    """
    again: list[Break] = []
    for what, outcome in tried(breaks, servers, at_once):
        if any(complaints(what, outcome)):
            again.append(what)
        else:
            yield what, outcome, []
    for what, outcome in tried(again, servers, 1) if again else ():
        outcome.tries = 2
        yield what, outcome, list(complaints(what, outcome))

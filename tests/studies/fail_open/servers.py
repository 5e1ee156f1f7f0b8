"""The servers that all trials send requests to, and the processes of the trials."""

import contextlib
import time
from collections.abc import Iterable, Iterator
from multiprocessing.connection import wait
from typing import Any

from support.grpc_server import GrpcServer
from support.http1 import HTTP1Server
from support.http2 import HTTP2Server
from support.listener import ServerLoop
from support.network import refused_url
from support.script import Failure, Reply

from . import trial
from .discovery import PROCESSES
from .judging import complaints
from .sending import Servers
from .trial import Break, Outcome

_GONE = 12
"""Seconds after `trial.PATIENCE` until the process of a trial is killed."""


@contextlib.contextmanager
def served() -> Iterator[Servers]:
    """Run the servers on loopback until the context is left."""
    loop = ServerLoop()
    http1, http2, grpc = HTTP1Server(loop), HTTP2Server(loop), GrpcServer(loop)
    grpc.reply("/late", Reply(head_after=0.3))
    chunks = ((0.0, b"one"), (0.005, b"two"), (0.0, b"three"))
    try:
        yield Servers(
            http1=http1.url(),
            http2=http2.url(),
            late=http1.reply("/late", Reply(head_after=0.3)),
            never=http1.reply("/never", Reply(head_after=60.0)),
            chunked=http1.reply("/chunked", Reply(chunks=chunks)),
            broken=http1.reply("/broken", Reply(chunks=chunks[:1], failure=Failure.EOF_IN_BODY)),
            grpc=grpc.target,
            refusing=refused_url(),
        )
    finally:
        for server in (http1, http2, grpc):
            server.close()
        loop.stop()


def tried(
    breaks: Iterable[Break], servers: Servers, at_once: int = 2
) -> Iterator[tuple[Break, Outcome]]:
    """Try each break in a process of its own. Yield the outcomes in the order of their ends."""
    todo = [*breaks][::-1]
    running: dict[Any, tuple[Break, Any, float]] = {}
    try:
        while todo or running:
            while todo and len(running) < at_once:
                what = todo.pop()
                ours, its = PROCESSES.Pipe(duplex=False)
                process = PROCESSES.Process(target=trial.child, args=(what, servers, its))
                process.start()
                its.close()
                running[ours] = (what, process, time.monotonic() + trial.PATIENCE + _GONE)
            for ours in wait(list(running), 1):
                what, process, _ = running.pop(ours)
                try:
                    outcome = ours.recv()
                except EOFError:
                    outcome = Outcome(failed="hangs or ended: stderr has its stacks if it hangs")
                ours.close()
                process.join()
                yield what, outcome
            for _, process, deadline in running.values():
                if time.monotonic() > deadline:
                    process.kill()
    finally:
        for _, process, _ in running.values():
            process.kill()


def judged(breaks: Iterable[Break], servers: Servers) -> Iterator[tuple[Break, Outcome, list[str]]]:
    """Try each break. Yield it with its outcome and the complaints.

    On a busy machine time alone can change an outcome, so a break with complaints is tried once
    more, alone.
    """
    again: list[Break] = []
    for what, outcome in tried(breaks, servers):
        if any(complaints(what, outcome)):
            again.append(what)
        else:
            yield what, outcome, []
    for what, outcome in tried(again, servers, 1):
        outcome.tries = 2
        yield what, outcome, list(complaints(what, outcome))

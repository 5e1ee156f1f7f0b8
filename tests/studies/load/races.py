"""A race of httpcore 1.0, with the instrumentation and without it.

httpcore 1.0 may close an idle connection that it has just given to a request. That request takes
another one if it finds it closed, and fails if it has begun by then:
https://github.com/encode/httpcore/issues/1110
"""

from __future__ import annotations

import multiprocessing
import random
import sys
import threading
import time
from typing import Any

import httpcore

from studies.figures import Figures
from studies.load.command import instrumented
from support.http1 import HTTP1Server
from support.listener import ServerLoop
from support.script import Reply

ROUNDS = 200
"""Pools, with 15 to 40 requests each."""
BY_CHANCE = 20
"""Of about 5 500 requests."""


def serve(pipe: Any) -> None:
    """Answer on three ports, at once or a little later, until the pipe is closed."""
    after, loop = random.Random(1110).choice, ServerLoop()
    servers = [HTTP1Server(loop) for _ in range(3)]
    for server in servers:
        chunks = [[(after((0.0, 0.0, 0.001)), b"0123456789") for _ in "12"] for _ in range(9999)]
        delays = [after((0.0, 0.0, 0.001, 0.003)) for _ in chunks]
        times = zip(delays, chunks, strict=True)
        server.reply("/", *(Reply(head_after=d, chunks=tuple(c)) for d, c in times))
    pipe.send([server.url() for server in servers])
    pipe.recv()


def failures(urls: list[str]) -> int:
    """How many requests of many threads fail, in pools that keep fewer than they open."""
    failed: list[httpcore.ReadError] = []

    def send(pool: httpcore.ConnectionPool, url: str) -> None:
        try:
            # The race may also have a request wait for an answer to what was never sent.
            pool.request("GET", url, extensions={"timeout": {"read": 2.0}})
        except httpcore.ReadError as error:
            failed.append(error)
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
                threads.append(threading.Thread(target=send, args=(pool, dice.choice(urls))))
                threads[-1].start()
                if dice.random() < 0.5:
                    time.sleep(dice.random() * 0.003)
            for thread in threads:
                thread.join()
    return len(failed)


def main() -> int:
    """Return 0 when the race is not more frequent with the instrumentation, 1 when it is."""
    # Servers have a process of their own: the requests' threads compete with each other alone.
    ours, theirs = multiprocessing.Pipe()
    servers = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,))
    servers.start()
    urls = ours.recv()
    without = failures(urls)
    with instrumented():
        with_it = failures(urls)
    ours.send(None)
    servers.join()
    figures = Figures("Requests that a race of httpcore failed")
    figures.values |= {"without the instrumentation": without, "with it": with_it}
    if with_it > without + BY_CHANCE:
        figures.broken.append(f"more than by chance, which may be {BY_CHANCE}")
    return figures.finish()


if __name__ == "__main__":
    sys.exit(main())

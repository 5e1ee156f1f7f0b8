"""A program that ends with requests under way ends as without us: how, when, and silently."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.http1 import HTTP1Server
from support.script import Reply

from .conftest import Finished, Run

STRICT = ("-X", "dev", "-W", "error")

WAYS = [
    ("daemon_thread", "httpx"),
    ("daemon_thread", "urllib3"),
    ("thread", "httpx2"),
    ("pending_task", "httpx"),
    ("pending_task", "aiohttp"),
    ("abandoned_loop", "httpx2"),
    ("abandoned_loop", "aiohttp"),
    ("ctrl_c_in_loop", "httpx2"),
    ("ctrl_c", "httpx"),
    ("ctrl_c", "urllib3"),
    ("trio_cancelled", "httpx"),
    ("stream_never_closed", "httpx2"),
    ("stream_never_closed", "urllib3"),
    ("async_generator_never_closed", "httpx"),
    ("session_never_closed", "aiohttp"),
    ("client_never_closed", "httpx"),
    ("client_in_a_cycle", "urllib3"),
    ("request_in_atexit", "httpx"),
    ("uninstrument_in_atexit", "httpx2"),
    ("exit_in_a_hook", "httpx"),
    ("at_once", "httpx"),
    ("sdk_ended_before", "httpx"),
    ("raises", "httpx"),
    ("channel_never_closed", "grpc"),
]

_OURS = re.compile(
    r'^ *\S* *File "[^"]*/instrumentation/gluellm/[^"]*", line.*\n(?:^ *\S* {4,}.*\n)+',
    re.MULTILINE,
)
_ADDRESSES = re.compile(r"0x[0-9a-f]+|line \d+|\d{2,}")


def normalized(text: str) -> str:
    """Without numbers that are others each time, and without our frames in the host's stacks."""
    return _ADDRESSES.sub("#", _OURS.sub("", text))


@pytest.fixture
def ends(run: Run, server: HTTP1Server) -> Callable[..., tuple[Finished, Finished]]:
    """How a program ends without us, and with us."""
    # No part of a body: one that came just as a loop is left would have the task end elsewhere.
    never = server.reply("/never", Reply(chunks=(), end_after=server.gate()))
    url = server.reply("/", Reply(chunks=((0, b"o"), (0, b"k"))))

    def both(way: str, library: str, options: tuple[str, ...]) -> tuple[Finished, Finished]:
        def program(switch: str) -> Finished:
            return run("ending.py", switch, way, library, url, never, options=options)

        with ThreadPoolExecutor(2) as programs:
            off, on = programs.map(program, ("off", "on"))
        return off, on

    return both


@pytest.mark.parametrize(("way", "library"), WAYS)
def test_program_ends_as_without_us(
    way: str, library: str, ends: Callable[..., tuple[Finished, Finished]]
) -> None:
    """The same status and the same last words, with every warning an error.

    The lines are compared in any order: the interpreter closes forgotten sockets in none.
    """
    off, on = ends(way, library, STRICT)
    assert on.status == off.status
    assert on.out == off.out
    assert sorted(normalized(on.err).splitlines()) == sorted(normalized(off.err).splitlines())


def test_traced_allocations_change_nothing(
    ends: Callable[..., tuple[Finished, Finished]],
) -> None:
    """As ``-X tracemalloc`` has it."""
    off, on = ends("daemon_thread", "httpx", ("-X", "tracemalloc"))
    assert (on.status, normalized(on.err)) == (off.status, normalized(off.err))

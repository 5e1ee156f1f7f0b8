"""A program that exits with requests in flight exits as without the instrumentation."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from support.http1 import HTTP1Server
from support.listener import ServerLoop
from support.script import Reply

from .conftest import PROGRAMS

WAYS = [
    ("daemon_thread", "httpx"),
    ("traced", "httpx"),
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
_ADDRESSES = re.compile(r"0x[0-9a-f]+|(line |fd=)\d+|\d{2,}")


def normalized(text: str) -> str:
    """Remove numbers that differ between runs, and this package's frames in stacks."""
    return _ADDRESSES.sub("#", _OURS.sub("", text))


@pytest.fixture(scope="module")
def program(servers: ServerLoop) -> Iterator[subprocess.Popen[str]]:
    """A program that forks children, which end in the requested way with warnings as errors."""
    server = HTTP1Server(servers)
    # No part of the body is sent: if it arrived while a loop ends, the task would end elsewhere.
    never = server.reply("/never", Reply(chunks=(), end_after=server.gate()))
    url = server.reply("/", Reply(chunks=((0, b"o"), (0, b"k"))))
    with subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", str(PROGRAMS / "ending.py"), url, never],
        # The allocator of -X dev would take most of the time.
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONMALLOC": "pymalloc"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        yield program
    server.close()


@pytest.mark.parametrize(("way", "library"), WAYS)
def test_program_ends_as_without_the_instrumentation(way, library, program):
    """It has the same status and output.

    Lines are compared in any order, since the interpreter closes forgotten sockets in any order.
    """
    assert program.stdin is not None
    assert program.stdout is not None
    program.stdin.write(f"{way} {library}\n")
    program.stdin.flush()
    off, on = json.loads(program.stdout.readline())
    assert on[:2] == off[:2]
    assert sorted(normalized(on[2]).splitlines()) == sorted(normalized(off[2]).splitlines())
    assert "Timeout" not in off[2]

"""What the threads and tasks of a process wait for, read from outside. Nothing runs in it.

``_remote_debugging`` is a private module of CPython 3.14 and later, which ``asyncio pstree`` uses.
The frames of a stack are ordered from the innermost to the outermost. 3.14 reads a thread's stack
only up to the first frame that C code has called, and a task's up to an object with ``__await__``.
`inside` reads the whole stacks of threads.
"""

from __future__ import annotations

import pickle
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from opentelemetry.instrumentation.gluellm.pool.call_site import LIBRARIES

CONNECTION, NAME, CONNECT, SEND, HEAD, BYTES, SOCKET, OWN, ANOTHER, OTHER, LOOP = (
    "a connection of the pool",
    "the name of the server",
    "a connection to be established",
    "room to send the request",
    "the first byte of the answer",
    "the next byte of the answer",
    "bytes on a socket",
    "the application's own lock, queue or semaphore",
    "another thread or future",
    "something that can't be read from outside",
    "the event loop is blocked",
)

_FUNCTIONS = {
    "wait_for_connection": CONNECTION,
    "_wait_for_available_connection": CONNECTION,
    "_get_conn": CONNECTION,
    "getaddrinfo": NAME,
    "_resolve_host": NAME,
    "_connect": CONNECT,
    "connect_tcp": CONNECT,
    "start_tls": CONNECT,
    "_create_connection": CONNECT,
    "_new_conn": CONNECT,
    "_wait_for_outgoing_flow": SEND,
    "_send_request_headers": SEND,
    "_send_request_body": SEND,
    "_receive_response_headers": HEAD,
    "_receive_response": HEAD,
    "getresponse": HEAD,
    "_receive_response_body": BYTES,
}
"""Functions of HTTP libraries in whose frames a request waits. The innermost one decides."""
_IN = "/httpcore /aiohttp/ /urllib3/ /anyio/ /socket.py /http/client.py /asyncio/".split()
_IN_FILE = {
    "/aiohttp/client_reqrep.py": {"start": HEAD},
    "/aiohttp/streams.py": {"_wait": BYTES},
    "/urllib3/response.py": dict.fromkeys(
        ("_raw_read", "read_chunked", "_update_chunk_length"), BYTES
    ),
}
_HTTP = ("/httpcore", "/httpx", "/aiohttp/", "/urllib3/")
_LOCKS = ("/asyncio/locks.py", "/asyncio/queues.py", "/asyncio/timeouts.py")
_THREADS = ("/threading.py", "/queue.py", "/concurrent/futures/_base.py")
_SOCKETS = ("/socket.py", "/ssl.py")
_RUNNERS = ("/asyncio/runners.py", "/asyncio/base_events.py", "/uvloop/__init__.py")
_IDLE = ("/selectors.py", *_RUNNERS)
_FUTEX = ["202" if platform.machine() == "x86_64" else "98"]
"""Number of the system call futex(2), in which a thread waits for a lock: x86_64, aarch64."""


_NO_ASYNCIO = "AsyncioDebug section not available"
_TRIES = 5
"""A process that runs meanwhile can change what is being read, which fails."""
_UNTIL_NEXT = 0.02
"""Seconds until the next try. With none, 1 of 200 looks into busy processes failed."""


class Frame(NamedTuple):
    file: str
    line: int
    function: str


class Wait(NamedTuple):
    """What a task or a thread waits for, and the line of the application that does."""

    task: bool
    state: str
    where: str


Waits = dict[tuple[bool, int, str], Wait]
"""By kind, id and innermost frame of the task or thread, so that two looks can be compared."""


def look(pid: int) -> Waits:
    """Read all threads and tasks once. Raises OSError, RuntimeError or ValueError.

    A child process does it: what changes while it is read can send the private module into an
    endless recursion, which ends its process (seen in 3.14.8).
    """
    code = f"import sys; sys.path[:] = {sys.path!r}; import {__name__} as it; it.answer({pid})"
    for _ in range(_TRIES):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
        if done.returncode == 0:
            found = pickle.loads(done.stdout)
            if isinstance(found, Exception):
                raise found
            waits: Waits = found
            return waits
    raise RuntimeError("its stacks can't be read by this Python")


def answer(pid: int) -> None:
    """Write what a look has found, or the exception that it has raised, to standard output."""
    found: Waits | Exception
    try:
        found = look_here(pid)
    except Exception as error:
        found = error
    sys.stdout.buffer.write(pickle.dumps(found))


def look_here(pid: int) -> Waits:
    """Look in this process, several times if what is read changes."""
    for _ in range(_TRIES - 1):
        try:
            return _look(pid)
        except (PermissionError, ProcessLookupError):
            raise
        except (OSError, RuntimeError, ValueError):
            time.sleep(_UNTIL_NEXT)
    return _look(pid)


def _look(pid: int) -> Waits:
    found: Waits = {}
    try:
        loops = unwinder_of(pid).get_all_awaited_by()
    except RuntimeError as error:
        if _NO_ASYNCIO not in str(error):
            raise
        loops = []
    with_tasks = {int(loop.thread_id) for loop in loops if loop.awaited_by}
    blocked: set[int] = set()
    for number, frames in stacks_of(unwinder_of(pid)).items():
        if number in with_tasks or any(one.file.endswith(_RUNNERS) for one in frames):
            # A loop that runs code in both looks is blocked.
            state = None if not frames or frames[0].file.endswith(_IDLE) else LOOP
        else:
            state = _waits_for(frames) or _in_lock(pid, number, frames)
        if state:
            found[_thread_key(number, frames)] = Wait(False, state, _line(number, pid, frames))
            blocked |= {number} if state == LOOP else set()
    for (key, where), wait in _tasks(loops):
        if not (wait.state == OTHER and blocked):
            found[True, key, where] = wait
    return found


def with_whole_stacks(waits: Waits, whole: dict[int, list[Frame]], pid: int) -> Waits:
    """Return the waits that still last, with the lines that stacks from inside have."""
    found = {}
    for key, wait in waits.items():
        frames = whole.get(key[1])
        if wait.task or not frames:
            found[key] = wait
        elif key == _thread_key(key[1], frames):
            state = wait.state if wait.state == LOOP else _waits_for(frames) or wait.state
            found[key] = Wait(False, state, _line(key[1], pid, frames) or wait.where)
    return found


def _thread_key(number: int, frames: list[Frame]) -> tuple[bool, int, str]:
    # Code that runs changes its line.
    return False, number, f"{frames[0].file} {frames[0].function}"


def _line(number: int, pid: int, frames: list[Frame]) -> str:
    """Return the line of a thread; empty for an idle thread of a library."""
    where = application_line(frames)
    library = number != pid and frames[0].file.endswith(_THREADS) and "-packages/" in where
    return "" if library else where


def _tasks(loops: Iterable[Any]) -> Iterator[tuple[tuple[int, str], Wait]]:
    """Yield what tasks wait for, by their number and innermost frame."""
    tasks = [task for loop in loops for task in loop.awaited_by]
    parents = {int(parent.task_name) for task in tasks for parent in task.awaited_by}
    for task in tasks:
        frames = [one for part in task.coroutine_stack for one in _frames(part.call_stack)]
        state = _waits_for(frames)
        if state is None and frames and int(task.task_id) not in parents:
            state = OTHER if application_line(frames[:1]) else None
        if state:
            key = int(task.task_id), str(frames[0])
            yield key, Wait(True, state, application_line(frames))


def main_thread(pid: int) -> str:
    """Return the line of the application in which the main thread is; empty if unknown."""
    return application_line(stacks_of(unwinder_of(pid)).get(pid, []))


def unwinder_of(pid: int) -> Any:
    """Return what reads the stacks of a process."""
    return import_module("_remote_debugging").RemoteUnwinder(pid, all_threads=True)


def stacks_of(unwinder: Any) -> dict[int, list[Frame]]:
    """Return the stack of each thread, by its number."""
    return {int(one.thread_id): _frames(one.frame_info) for one in _threads(unwinder)}


def _threads(unwinder: Any) -> Iterator[Any]:
    for one in unwinder.get_stack_trace():  # 3.15 lists interpreters
        yield from getattr(one, "threads", (one,))


def _frames(listed: Iterable[Any]) -> list[Frame]:
    return [
        Frame(
            one.filename.replace("\\", "/"),
            one.lineno if hasattr(one, "lineno") else getattr(one.location, "lineno", 0) or 0,
            one.funcname,
        )
        for one in listed
    ]


def _waits_for(frames: list[Frame]) -> str | None:
    """Return what the innermost known frame waits for; None if it is nothing that is known."""
    for frame in frames:
        name = frame.function.rpartition(".")[2]
        for file, states in _IN_FILE.items():
            if frame.file.endswith(file) and name in states:
                return states[name]
        if name in _FUNCTIONS and any(part in frame.file for part in _IN):
            return _FUNCTIONS[name]
    if frames and frames[0].file.endswith(_SOCKETS):
        return SOCKET
    if frames and frames[0].file.endswith((*_LOCKS, *_THREADS)):
        own = ANOTHER if frames[0].file.endswith(_THREADS) else OWN
        return None if any(part in one.file for one in frames for part in _HTTP) else own
    return None


def _in_lock(pid: int, thread: int, frames: list[Frame]) -> str | None:
    """Return that a line of the application waits for a lock, which has no frame, without limit."""
    where = application_line(frames[:1])
    if where and "-packages/" not in where:
        with suppress(OSError):
            call = Path(f"/proc/{pid}/task/{thread}/syscall").read_text().split()
            if call[:1] == _FUTEX and call[4] == "0x0":  # its timeout; the GIL is taken with one
                return OWN
    return None


def application_line(frames: list[Frame]) -> str:
    """Return the innermost line that belongs to no library, as in a snapshot; empty if unknown."""
    between = None
    for file, line, function in frames:
        _, installed, rest = file.partition("-packages/")
        if installed and rest.partition("/")[0].removesuffix(".py") in LIBRARIES:
            continue
        text = f"{file}:{line} in {function}"
        if installed:
            between = between or text
        elif not file.startswith("<") and "/lib/python3." not in file:
            return text
    return between or ""

"""Waking a thread that waits in C code, so that it runs the script of ``sys.remote_exec``.

CPython 3.14 runs the script where it handles signals: between instructions, and where a system
call was interrupted (EINTR). No signal is sent: SIGSTOP would be noticed by supervisors, and
ignored by process 1 of a container. ptrace(2) stops one thread for some milliseconds instead. The
kernel detaches when the thread of this command that has stopped it ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import operator
import os
import platform
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import stacks

_SEIZE, _INTERRUPT, _DETACH, _GET_REGISTERS, _SET_REGISTERS = 0x4206, 0x4207, 17, 12, 13
"""Requests of ptrace(2)."""
_ANY_THREAD = 0x4000_0000
"""The option __WALL of waitpid(2)."""
_RESULT, _CALL = 10, 15
"""Registers of x86_64 (rax, orig_rax) with the result and the number of a system call."""
_RESTARTS, _EINTR = (-512, -513, -514, -516), -4
"""Results by which the kernel begins an interrupted call again, and the one after a signal."""
_READS = (0, 7, 23, 45, 47, 232, 270, 271, 281)
"""read, poll, select, recvfrom, recvmsg, epoll_wait, pselect6, ppoll and epoll_pwait."""
_TRIES_AGAIN = {
    "/socket.py": ("readinto",),
    "/ssl.py": ("read", "recv", "recv_into", "do_handshake"),
    "/selectors.py": ("select",),
    "/_backends/sync.py": ("read",),  # of httpcore
}
"""Functions that call only CPython, which waits for the rest of the timeout after EINTR.

Foreign native code could take EINTR for a failure.
"""
_FIELDS = operator.itemgetter(5, 9, 24, 28, 90, 92, 93, 94)
"""Of the offsets in CPython 3.14: the interpreter, its threads, their numbers and scripts."""
_PENDING = b"\1\0\0\0"


def wake(pid: int) -> None:
    """Let the main thread run its script, or else a thread that reads from a socket."""
    with contextlib.suppress(OSError, RuntimeError, ValueError, LookupError):
        unwinder = stacks.unwinder_of(pid)
        with _stopped(pid) as stopped:
            # The stop wakes an idle asyncio loop on every machine.
            if not stopped or platform.machine() != "x86_64" or _interrupt_call(unwinder, pid):
                return
            frames = stacks.stacks_of(unwinder)
            for thread in (one for one in frames if one != pid and _tries_again(frames[one])):
                with _stopped(thread) as stopped:
                    if stopped and _interrupt_call(unwinder, thread):
                        _hand_over(unwinder, pid, thread)
                        return


@contextlib.contextmanager
def _stopped(thread: int) -> Iterator[bool]:
    """Stop a thread within the block. Yields False if a signal stops it, or nothing does."""
    if _ptrace(_SEIZE, thread) != 0:  # a debugger traces it, or it has ended
        yield False
        return
    _ptrace(_INTERRUPT, thread)
    _, status = os.waitpid(thread, _ANY_THREAD)
    interrupted = bool(status >> 16)
    try:
        yield interrupted
    finally:
        # A signal must still be delivered.
        _ptrace(_DETACH, thread, 0 if interrupted else os.WSTOPSIG(status))


def _ptrace(request: int, thread: int, data: object = None) -> int:
    function = ctypes.CDLL(None).ptrace
    function.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    return int(function(request, thread, None, data))


def _tries_again(frames: list[stacks.Frame]) -> bool:
    return any(
        one.file.endswith(file) and one.function.rpartition(".")[2] in names
        for one in frames[:1]
        for file, names in _TRIES_AGAIN.items()
    )


def _interrupt_call(unwinder: Any, thread: int) -> bool:
    """Let the system call in which a stopped thread waits return EINTR, as after a signal."""
    registers = (ctypes.c_longlong * 27)()
    safe = _tries_again(stacks.stacks_of(unwinder)[thread])
    if not safe or _ptrace(_GET_REGISTERS, thread, registers) or registers[_CALL] not in _READS:
        return False
    if registers[_RESULT] in _RESTARTS:
        registers[_RESULT], registers[_CALL] = _EINTR, -1
        return _ptrace(_SET_REGISTERS, thread, registers) == 0
    return registers[_RESULT] == _EINTR


def _hand_over(unwinder: Any, pid: int, thread: int) -> None:
    """Let a thread run the script that the main thread has not begun. Both are stopped.

    ``sys.remote_exec`` has no argument for that. It writes the same fields. The unwinder has the
    process's own table of their offsets, behind the address of that table.
    """
    found = ctypes.string_at(id(unwinder), type(unwinder).__basicsize__)
    begin = found.index(b"xdebugpy")
    runtime, *table = struct.unpack_from("96Q", found, begin - 8)
    head, first, following, number, support, pending, path, size = _FIELDS(table)
    with Path(f"/proc/{pid}/mem").open("r+b", buffering=0) as opened:
        memory = opened.fileno()

        def pointer(at: int) -> int:
            return int.from_bytes(os.pread(memory, 8, at), "little")

        if table[1] >> 16 != 0x30E or pointer(runtime) != table[0]:  # not 3.14
            return
        states, state = {}, pointer(pointer(runtime + head) + first)
        while state:
            states[pointer(state + number)] = state + support
            state = pointer(state + following)
        main, other = states[pid], states[thread]
        if os.pread(memory, 4, main + pending) == _PENDING:
            os.pwrite(memory, os.pread(memory, size, main + path), other + path)
            os.pwrite(memory, _PENDING, other + pending)
            os.pwrite(memory, bytes(4), main + pending)

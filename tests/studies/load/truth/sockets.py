"""What the operating system knows of this process's sockets."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import psutil

OPEN = frozenset({psutil.CONN_ESTABLISHED, psutil.CONN_CLOSE_WAIT})
"""States of a connection that its client has not closed: a half that the peer has closed counts."""

_STATES = {1: psutil.CONN_ESTABLISHED, 2: psutil.CONN_SYN_SENT, 8: psutil.CONN_CLOSE_WAIT}
"""States of TCP by the numbers that Linux has for them (``include/net/tcp_states.h``)."""


def asked_for(ports: Collection[int]) -> Counter[tuple[int, str]]:
    """How many sockets lead from this process to each of these ports, by the state of TCP.

    The kernel is asked about each socket that the process has. The servers run in the same process;
    their ends are left out: a port of theirs is the local one. One that is being connected has no
    peer yet: its port is 0.
    """
    found: Counter[tuple[int, str]] = Counter()
    for descriptor in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        with contextlib.suppress(OSError):  # closed since, or no socket of TCP
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
            with socket.socket(
                socket.AF_INET, socket.SOCK_STREAM, fileno=os.dup(descriptor)
            ) as copy:
                # The state is the first byte; those behind it tell of loss and retransmission.
                state = _STATES.get(copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0])
                if state is None:
                    continue
                port = 0 if state == psutil.CONN_SYN_SENT else copy.getpeername()[1]
                if port in ports or not port:
                    found[port, state] += 1
    return found


def still_there(sock: object) -> bool:
    """Whether the operating system still knows where a socket leads to.

    After a reset it does not, however long the program keeps the socket.
    """
    try:
        sock.getpeername()  # type: ignore[attr-defined]
    except OSError:
        return False
    return True

"""A provider at the end of a path that drops all packets for a while.

Runs in a network namespace. The provider runs in another one, at the other end of a virtual cable,
as ``lost_path.py provider``. Prints as JSON what snapshots and findings say before the loss, during
it and afterwards.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpcore

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, diagnose, snapshot

HERE, THERE = "10.77.0.1", "10.77.0.2"
URL = f"http://{THERE}:8000"
PROBES = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 60),
]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def provide() -> None:
    """Answer each request, those for ``/held`` only after a line on standard input."""
    sys.stdin.readline()  # the network is up
    released = threading.Event()
    listener = socket.create_server((THERE, 8000))
    print("ready", flush=True)

    def serve(connection: socket.socket) -> None:
        while request := connection.recv(4096):
            if b"/held" in request:
                released.wait()
            connection.sendall(OK)

    def accept() -> None:
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.readline()
    released.set()
    sys.stdin.read()


def ip(*arguments: str, of: subprocess.Popen[str] | None = None) -> None:
    """Configure the network of this process, or of the provider's."""
    inside = ["nsenter", "-t", str(of.pid), "-n"] if of else []
    subprocess.run([*inside, "ip", *arguments], check=True)


def namespace_of(process: str) -> str:
    """The network namespace of a process."""
    return str(Path(f"/proc/{process}/ns/net").readlink())


def peers() -> list[str | None]:
    """The state of the peer of each request, by pool in the order of their first requests."""
    return [request.peer for pool in snapshot().pools for request in pool.requests]


def wait_for(condition: Callable[[], bool], seconds: float = 40.0) -> None:
    """Poll until the condition is true or the time is over; what is printed then shows it."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)


def report(when: str) -> None:
    now = snapshot()
    findings = [finding.to_dict() for finding in diagnose(now)]
    print(json.dumps({"when": when, "peers": peers(), "findings": findings, "text": str(now)}))


def main(provider: subprocess.Popen[str]) -> None:
    assert provider.stdin is not None
    assert provider.stdout is not None
    wait_for(lambda: namespace_of(str(provider.pid)) != namespace_of("self"))
    ip("link", "add", "here", "type", "veth", "peer", "name", "there")
    ip("link", "set", "there", "netns", str(provider.pid))
    ip("addr", "add", f"{HERE}/24", "dev", "here")
    ip("link", "set", "here", "up")
    ip("addr", "add", f"{THERE}/24", "dev", "there", of=provider)
    ip("link", "set", "there", "up", of=provider)
    print("up", file=provider.stdin, flush=True)
    assert provider.stdout.readline() == "ready\n"

    GlueLLMInstrumentor().instrument(scope="all", peer_check_after=1, span_min_duration=60)
    reused, thinking, probed = (
        httpcore.ConnectionPool(),
        httpcore.ConnectionPool(),
        httpcore.ConnectionPool(socket_options=PROBES),
    )
    ends: list[int] = []

    def send(pool: httpcore.ConnectionPool) -> None:
        ends.append(pool.request("GET", f"{URL}/held").status)

    reused.request("GET", URL)
    threads = [threading.Thread(target=send, args=(pool,)) for pool in (thinking, probed, reused)]
    for thread in threads[:2]:
        thread.start()
    wait_for(lambda: peers() == ["unknown", "unknown"])
    report("before")
    ip("addr", "del", f"{THERE}/24", "dev", "there", of=provider)
    threads[2].start()
    wait_for(lambda: set(peers()) >= {"unacknowledged", "unreachable"})
    report("lost")
    ip("addr", "add", f"{THERE}/24", "dev", "there", of=provider)
    wait_for(lambda: peers() == ["unknown"] * 3)
    report("back")
    print("answer", file=provider.stdin, flush=True)
    for thread in threads:
        thread.join(60)
    print(json.dumps({"when": "ended", "statuses": ends}))


if __name__ == "__main__":
    if sys.argv[1:] == ["provider"]:
        provide()
    else:
        with subprocess.Popen(
            ["unshare", "--net", sys.executable, __file__, "provider"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as running:
            try:
                main(running)
            finally:
                running.kill()

"""A real program on loopback: its process, log, ports and readiness."""

import ctypes
import http.client
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import pytest

from .tools import AGAIN, ToolsError
from .tools.cache import Cache, cache_folder
from .tools.pinned import tools

HOST = "127.0.0.1"
_READY_WITHIN = 30.0
"""Seconds. On a busy machine, programs need longer than their usual second."""
_ANSWERS_WITHIN = 2.0
_STOPS_WITHIN = 15.0
_ENDS_WITHIN = 180.0
_TRIES = 5
_LOG_TAIL = 25
_IN_USE = "address already in use"
# Below the ports that systems use for outgoing connections, where a free port is soon taken. Each
# process of a parallel run has its own share, and uses no port twice.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
_PORTS = itertools.cycle(random.sample(range(20_000 + _WORKER % 16, 32_000, 16), 750))
_ALTERNATIVES = {"otelcol-gluellm": ("otelcol-contrib", "otelcol")}
_SET_PARENT_DEATH_SIGNAL = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class StartError(Exception):
    """A program ended or was not ready in time. The message contains the end of its log."""


def required() -> bool:
    """Return whether a skipped test is an error: ``REQUIRE_E2E=1``, as in CI."""
    return os.environ.get("REQUIRE_E2E") == "1"


def find(program: str) -> Path:
    """Find a program, file or folder in the tools' cache, or a program on PATH.

    Skips the test if it is in neither.
    """
    try:
        cache = Cache(cache_folder(os.environ))
    except ToolsError as error:
        where = str(error)
    else:
        where = str(cache.folder)
        pinned = next(one for one in tools() if one.name == program)
        if cache.state(pinned) != "missing":
            return cache.path(pinned)
    for name in (program, *_ALTERNATIVES.get(program, ())):
        if found := shutil.which(name):
            return Path(found)
    pytest.skip(f"no {program} on PATH or in the cache ({where}). Build it with: {AGAIN}")


def lacking() -> str:
    """Return one line that names the pinned tools missing from the cache, or an empty string."""
    try:
        cache = Cache(cache_folder(os.environ))
    except ToolsError as error:
        return " ".join(str(error).split())
    names = ", ".join(tool.name for tool in tools() if cache.state(tool) != "there")
    return f"missing as pinned, in {cache.folder}: {names}. Build with: {AGAIN}" if names else ""


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, and return its status and output."""
    return subprocess.run(
        [str(find(program)), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=_ENDS_WITHIN,
        check=False,
    )


def succeed(program: str, *arguments: object) -> str:
    """Run a program that must end with status 0, and return its output."""
    finished = run(program, *arguments)
    output = finished.stdout + finished.stderr
    assert finished.returncode == 0, output
    return output


def free_port() -> int:
    """Return a port without a listener. Another process may take it before it is used."""
    return next(filter(_is_free, _PORTS))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that ended
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def request(
    port: int,
    target: str,
    method: str = "GET",
    body: str | None = None,
    timeout: float = _READY_WITHIN,
) -> tuple[int, str]:
    """Send an HTTP request, and return status and text of the response."""
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout)
    try:
        connection.request(method, target, body)
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")
    finally:
        connection.close()


def answers(port: int, target: str, timeout: float = _READY_WITHIN) -> bool:
    """Return whether a GET is answered with status 200."""
    try:
        return request(port, target, timeout=timeout)[0] == 200
    except (OSError, http.client.HTTPException):
        return False


class Program(ABC):
    """A program with its own ports. After `kill` or `stop`, it starts again on the same ports."""

    executable: str
    """Name for `find`."""
    health_path: str
    port_names: tuple[str, ...]
    """The first one is the port of the health endpoint."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder / name
        """Folder for its data and its log."""
        self.folder.mkdir(parents=True)
        self.log = self.folder / "log"
        self.ports = {name: free_port() for name in self.port_names}
        self._process: subprocess.Popen[bytes] | None = None
        self._was_ready = False

    @abstractmethod
    def command(self, executable: Path) -> list[str]:
        """Return the command line for the current ports."""

    def environment(self) -> Mapping[str, str]:
        """Return environment variables in addition to PATH and HOME."""
        return {}

    @property
    def url(self) -> str:
        """Base URL of its API."""
        return f"http://{HOST}:{self.ports[self.port_names[0]]}"

    @property
    def running(self) -> bool:
        """Whether the process is running."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Process id of the running program."""
        assert self._process is not None, f"{self.name} is not running"
        return self._process.pid

    def start(self) -> None:
        """Start and wait until it is ready. Raises `StartError`.

        The first start chooses new ports if another process has one of them. A restart keeps the
        ports, because other programs are configured with them.
        """
        if not self._was_ready and not all(map(_is_free, self.ports.values())):
            self._change_ports()
        for tries_left in reversed(range(_TRIES)):
            self._launch()
            try:
                self._wait_until_ready()
            except StartError as error:
                if self._was_ready or _IN_USE not in str(error) or not tries_left:
                    raise
                self._change_ports()
            else:
                self._was_ready = True
                return

    def _launch(self) -> None:
        assert not self.running, f"{self.name} is running"
        keep = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(find(self.executable)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**keep, **self.environment()},
                cwd=self.folder,
                start_new_session=True,  # Ctrl-C goes only to the tests, which stop the programs
                preexec_fn=_end_with_parent if _LIBC else None,
            )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_WITHIN
        port = self.ports[self.port_names[0]]
        while not answers(port, self.health_path, _ANSWERS_WITHIN):
            if not self.running or time.monotonic() > deadline:
                ended = "" if self.running else " and ended"
                self.kill()
                raise StartError(f"{self.name} was not ready in time{ended}:\n{self.log_tail()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Send SIGTERM and wait for the end. Do nothing if the program isn't running."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL: the program can't write or send anything more."""
        self._end(signal.SIGKILL)

    def log_tail(self) -> str:
        """Return the last lines of its log, which restarts continue."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-_LOG_TAIL:])

    def _change_ports(self) -> None:
        self.ports = {name: free_port() for name in self.ports}

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(_STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _end_with_parent() -> None:
    """Kill the program when the test run ends, even by SIGKILL. Runs in the forked child."""
    assert _LIBC is not None
    _LIBC.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)

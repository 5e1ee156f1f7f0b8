"""One real program on loopback: its process, its log, its ports, whether it is ready."""

from __future__ import annotations

import http.client
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
from functools import cache
from pathlib import Path

import pytest

from .tools import AGAIN, ToolsError
from .tools.cache import Cache, cache_folder
from .tools.pinned import tools

HOST = "127.0.0.1"
READY_WITHIN = 30.0
"""Seconds; a busy machine may need a few for what else takes one."""
_ANSWERS_WITHIN = 2.0
_STOPS_WITHIN = 15.0
_ENDS_WITHIN = 180.0
_TRIES = 5
_LOG_TAIL = 25
_IN_USE = "address already in use"
# Below what systems hand out to outgoing connections, where a free port is soon taken.
_PORTS = range(20_000, 32_000)
_ALTERNATIVES = {"otelcol-gluellm": ("otelcol-contrib", "otelcol")}

_KEEPER = """
import os, signal, sys
pids = set()
for line in sys.stdin:
    (pids.add if line[0] == "+" else pids.discard)(int(line[1:]))
for pid in pids:
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        pass
"""


class StartError(Exception):
    """A program ended, or did not get ready in time. Its log's tail is in the message."""


def required() -> bool:
    """Whether nothing may be skipped: ``REQUIRE_E2E=1``, as in CI."""
    return os.environ.get("REQUIRE_E2E") == "1"


def find(program: str) -> Path:
    """Where the program, file or folder is: in the tools' cache, else, for a program, on PATH.

    Skips the test when it is in neither. With ``REQUIRE_E2E=1`` it takes the pinned version from
    the cache and nothing else, and fails the test otherwise.
    """
    try:
        cache = Cache(cache_folder(os.environ))
    except ToolsError as error:
        cache, where = None, str(error)
    else:
        where = str(cache.folder)
        pinned = next(one for one in tools() if one.name == program)
        if cache.state(pinned) == "there" or (cache.state(pinned) == "other" and not required()):
            return cache.path(pinned)
    if required():
        pytest.fail(f"no pinned {program} ({where}). Bring it with: {AGAIN}", pytrace=False)
    for name in (program, *_ALTERNATIVES.get(program, ())):
        found = shutil.which(name)
        if found:
            return Path(found)
    pytest.skip(f"no {program} on PATH, nor in the cache ({where}). Bring it with: {AGAIN}")


def lacking() -> str:
    """Which of the pinned programs and files are not in the cache, in one line; else nothing."""
    try:
        cache = Cache(cache_folder(os.environ))
    except ToolsError as error:
        return " ".join(str(error).split())
    names = [tool.name for tool in tools() if cache.state(tool) != "there"]
    where = f"not there as pinned, in {cache.folder}: {', '.join(names)}"
    return f"{where}. Bring them with: {AGAIN}" if names else ""


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run one of the programs to its end, whatever its status."""
    return subprocess.run(
        [str(find(program)), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=_ENDS_WITHIN,
        check=False,
    )


def succeed(program: str, *arguments: object) -> str:
    """What it says. Fails the test where it ends with another status than 0."""
    finished = run(program, *arguments)
    said = finished.stdout + finished.stderr
    assert finished.returncode == 0, said
    return said


def free_port() -> int:
    """A port that nobody listens on now. Somebody may take it before it is used."""
    while not is_free(port := random.choice(_PORTS)):
        pass
    return port


def is_free(port: int) -> bool:
    """Whether nobody listens on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that ended
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


class _Keeper:
    """Kills the programs when this process is gone, however it went."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-ISc", _KEEPER],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the tests, which then stop the programs
            text=True,
        )

    def add(self, pid: int) -> None:
        self._tell(f"+{pid}\n")

    def remove(self, pid: int) -> None:
        self._tell(f"-{pid}\n")

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line)
        self._process.stdin.flush()


@cache
def _keeper() -> _Keeper:
    return _Keeper()


class Program(ABC):
    """A program with ports of its own; after `kill` or `stop` it starts again on the same ones."""

    executable: str
    """As `find` looks for it."""
    health_path: str
    port_names: tuple[str, ...]
    """The first is that of the health endpoint."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder / name
        """Its data, and its log."""
        self.folder.mkdir(parents=True)
        self.log = self.folder / "log"
        self.ports = {name: free_port() for name in self.port_names}
        self._process: subprocess.Popen[bytes] | None = None
        self._was_ready = False

    @abstractmethod
    def command(self, executable: Path) -> list[str]:
        """The command line, for the ports as they are now."""

    def environment(self) -> Mapping[str, str]:
        """Environment variables beyond PATH and HOME."""
        return {}

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id while it runs."""
        assert self._process is not None, f"{self.name} is not running"
        return self._process.pid

    def start(self) -> None:
        """Start and wait until it is ready. Raises `StartError`."""
        # A restart keeps its ports, since others were told them.
        if not self._was_ready and not all(map(is_free, self.ports.values())):
            self._change_ports()
        for tries_left in reversed(range(_TRIES)):
            self.launch()
            try:
                self.wait_until_ready()
            except StartError as error:
                if self._was_ready or _IN_USE not in str(error) or not tries_left:
                    raise
                self._change_ports()
            else:
                return

    def launch(self) -> None:
        """Start the process and return at once; `wait_until_ready` is the other half."""
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
                start_new_session=True,
            )
        _keeper().add(self._process.pid)

    def wait_until_ready(self) -> None:
        """Wait for its health endpoint. Raises `StartError`, and stops it then."""
        deadline = time.monotonic() + READY_WITHIN
        while not self.healthy():
            if not self.running or time.monotonic() > deadline:
                ended = "" if self.running else " and ended"
                self.kill()
                raise StartError(f"{self.name} did not get ready{ended}:\n{self.log_tail()}")
            time.sleep(0.02)
        self._was_ready = True

    def healthy(self) -> bool:
        """Whether its health endpoint says so now."""
        connection = http.client.HTTPConnection(
            HOST, self.ports[self.port_names[0]], timeout=_ANSWERS_WITHIN
        )
        try:
            connection.request("GET", self.health_path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def stop(self) -> None:
        """Ask it to end, and wait for that. Does nothing when it doesn't run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: it can't write or send anything more."""
        self._end(signal.SIGKILL)

    def log_tail(self) -> str:
        """The last lines of its log, which goes on over restarts."""
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
        _keeper().remove(process.pid)

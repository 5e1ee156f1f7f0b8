"""Runs programs to their end, or exchanges lines with them: text to them, JSON from them."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final


class FailedError(Exception):
    """A program failed; the message is the end of its standard error."""


def ran(*command: str | Path, timeout: float | None = None, **more: Any) -> str:
    """Run a program and return its output. Raises FailedError."""
    pipes: Any = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, text=True, process_group=0, **pipes, **more) as program:
        try:
            output, errors = program.communicate(timeout=timeout)
        except BaseException as error:
            # Kill its forks as well, which could wait for it for ever.
            os.killpg(program.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise FailedError(f"no end after {timeout:g} s") from None
    if program.returncode:
        raise FailedError(errors.strip()[-3000:])
    return str(output)


_TESTS: Final = Path(__file__).parents[1]
_EVENT_WITHIN: Final = 120.0
_LOG_TAIL: Final = 15


class TalkingProcess:
    """A program in the tests' interpreter, without OpenTelemetry's environment variables."""

    def __init__(
        self,
        arguments: Sequence[str],
        log: Path,
        settings: Mapping[str, str] | None = None,
        *,
        new_session: bool = False,
        python: Path | str = sys.executable,
    ) -> None:
        """Start ``python -m`` with the arguments. ``settings`` are environment variables.

        With ``new_session``, Ctrl-C interrupts only the caller, which then ends the program.
        """
        kept = {name: v for name, v in os.environ.items() if not name.startswith("OTEL_")}
        path = os.pathsep.join(filter(None, (str(_TESTS), kept.get("PYTHONPATH"))))
        local = {"PYTHONPATH": path, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        self._file = log
        self._log = log.open("ab")
        self.process = subprocess.Popen(
            [python, "-m", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**kept, **local, **(settings or {})},
            text=True,
            start_new_session=new_session,
        )
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def expect(self, event: str) -> dict[str, Any]:
        """Wait for the next line, which has to report ``event``. Raises RuntimeError otherwise."""
        try:
            received = self._events.get(timeout=_EVENT_WITHIN)
        except queue.Empty:
            received = None
        if received is None or received["event"] != event:
            raise RuntimeError(
                f"a process did not report {event!r}, but {received}:\n{self.log_tail()}"
            )
        return received

    def send_line(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """Kill it if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._log.close()

    def log_tail(self) -> str:
        """The last lines of its standard error."""
        return "\n".join(self._file.read_text(errors="replace").splitlines()[-_LOG_TAIL:])

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._events.put(json.loads(line))
        self._events.put(None)

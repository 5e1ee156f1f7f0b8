"""Programs that run to their end, or read lines and answer each with a line of JSON."""

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
    """A program that failed, with the end of what it wrote to standard error."""


def ran(*command: str | Path, timeout: float | None = None, **more: Any) -> str:
    """The output of a program. Raises FailedError."""
    pipes: Any = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, text=True, process_group=0, **pipes, **more) as program:
        try:
            output, errors = program.communicate(timeout=timeout)
        except BaseException as error:
            # With the processes that it has forked, which could wait for it for ever.
            os.killpg(program.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise FailedError(f"no end after {timeout:g} s") from None
    if program.returncode:
        raise FailedError(errors.strip()[-3000:])
    return str(output)


_TESTS: Final = Path(__file__).parents[1]
_SAYS_WITHIN: Final = 120.0
_LOG_TAIL: Final = 15


class TalkingProcess:
    """The program, run by the interpreter of the tests, without settings of OpenTelemetry's."""

    def __init__(
        self,
        arguments: Sequence[str],
        log: Path,
        settings: Mapping[str, str] | None = None,
        *,
        new_session: bool = False,
    ) -> None:
        """Start ``python -m`` with the arguments. ``settings`` are environment variables.

        With ``new_session`` Ctrl-C is for the caller alone, who then ends the program.
        """
        kept = {name: v for name, v in os.environ.items() if not name.startswith("OTEL_")}
        path = os.pathsep.join(filter(None, (str(_TESTS), kept.get("PYTHONPATH"))))
        local = {"PYTHONPATH": path, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        self._file = log
        self._log = log.open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**kept, **local, **(settings or {})},
            text=True,
            start_new_session=new_session,
        )
        self._said: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def expect(self, event: str) -> dict[str, Any]:
        """What it says when it is there. Raises RuntimeError where it ends before that."""
        try:
            said = self._said.get(timeout=_SAYS_WITHIN)
        except queue.Empty:
            said = None
        if said is None or said["event"] != event:
            raise RuntimeError(
                f"a process did not get to {event!r}, but to {said}:\n{self.log_tail()}"
            )
        return said

    def tell(self, line: str) -> None:
        """A line for it to read."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """End it, whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._log.close()

    def log_tail(self) -> str:
        """The end of what it wrote to standard error."""
        return "\n".join(self._file.read_text(errors="replace").splitlines()[-_LOG_TAIL:])

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._said.put(json.loads(line))
        self._said.put(None)

"""A real watch that is sent bad input without end, and good exports in between."""

from __future__ import annotations

import contextlib
import re
import secrets
from pathlib import Path
from typing import Any, Self

import psutil
from hypothesis import strategies as st

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.otlp import gauge, metrics_request
from support.waiting import wait_until
from support.watching import Watch

from .target import Target, assert_clean
from .wire import conversation, post, statuses_of, talk

MOST_MEGABYTES = 300
"""The same as tests/integration/watch/test_watch.py holds for the worst bodies."""
MORE_DESCRIPTORS = 5
_PATIENCE = 30.0
_FAILED = re.compile(r"Traceback|can't be shown|failed: \w+(Error|Exception)")


class Living(Target):
    """One conversation with a real watch, then an export whose number must be shown."""

    name = "a watch with good exports in between"
    share = 0.14

    def __enter__(self) -> Self:
        self._watch = Watch()
        self._service = f"good-{secrets.token_hex(4)}"
        self._active = 0
        self._process = psutil.Process(self._watch.process.pid)
        self._export()
        self._watch.wait_for(f"{self._service}.* heard")
        self._descriptors = self._process.num_fds()
        self._most = 0.0
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and not self.failures:
            try:
                self._see_the_last()
            except AssertionError as error:
                self.failures.append(f"{self.name}: {error}")
        status, errors = self._watch.end()
        if status != 130 or errors:
            self.failures.append(f"{self.name}: ended with {status}: {errors[-2000:]}")

    def inputs(self) -> st.SearchStrategy[Any]:
        return conversation()

    def take(self, given_input: tuple[list[bytes], str]) -> str:
        pieces, end = given_input
        with contextlib.suppress(ConnectionError):
            statuses = statuses_of(talk(self._watch.port, pieces, end))
            assert not {500, 502, 504}.intersection(statuses), statuses
        self._export()
        assert self._watch.process.poll() is None, "the watch has ended"
        return "a good export was taken after it"

    def figures(self) -> dict[str, float]:
        return {
            "good exports taken, of which the last was shown": self._active,
            "largest memory, MB": self._most,
        }

    def _export(self) -> None:
        """One more connection is active, says a program that exports."""
        self._active += 1
        active = gauge(
            semconv.OPEN_CONNECTIONS, self._active, **{semconv.CONNECTION_STATE: "active"}
        )
        phase = gauge(semconv.REQUEST_CURRENT, 1, **{semconv.REQUEST_PHASE: "reading"})
        body = metrics_request(active, phase, service__name=self._service).SerializeToString()
        assert post(self._watch.port, body) == [200]

    def _see_the_last(self) -> None:
        """What is shown is what was exported; nothing failed; and nothing is held."""
        self._export()
        wait_until(lambda: self._shown()[-1:] == [self._active], "the last number", _PATIENCE)
        shown = self._shown()
        assert shown == sorted(shown), shown
        for line in tuple(self._watch.lines):
            assert_clean(line)
            assert not _FAILED.search(line), line
        limit = self._descriptors + MORE_DESCRIPTORS
        wait_until(lambda: self._process.num_fds() <= limit, "descriptors are closed", _PATIENCE)
        self._most = self._megabytes()
        assert self._most < MOST_MEGABYTES, self._most

    def _shown(self) -> list[int]:
        """The numbers shown of the good program, in their order."""
        found, of_it = [], False
        for line in tuple(self._watch.lines):
            if not line.startswith(" "):
                of_it = line.startswith(self._service)
            elif of_it and (match := re.search(r"openai/httpx2: active (\d+),", line)):
                found.append(int(match[1]))
        return found

    def _megabytes(self) -> float:
        """The most memory that it ever had; where the system does not tell, what it has."""
        status = Path(f"/proc/{self._process.pid}/status")
        if not status.exists():
            return float(self._process.memory_info().rss) / 2**20
        found = re.search(r"VmHWM:\s+(\d+)", status.read_text())
        return int(found[1]) / 1024 if found else 0.0

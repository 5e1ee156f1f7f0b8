"""``gluellm-pools doctor --pid``, whose process answers anything."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Self

from hypothesis import strategies as st

from gluellm_pools.main import main
from opentelemetry.instrumentation.gluellm.diagnosis.findings import Severity
from support.waiting import wait_until

from .target import Target, assert_clean
from .texts import TEXTS, anything, integers

_PROCESS = """
import os, signal, sys
from opentelemetry.instrumentation.gluellm.diagnosis.signal_report.rendezvous import Presence

answer = sys.argv[1]

def asked(*_):
    for token in presence.requests():
        path = presence.directory.path
        unfinished = path / f"{os.getpid()}-{token}.unfinished"
        with open(answer, "rb") as source:
            unfinished.write_bytes(source.read())
        unfinished.replace(path / f"{os.getpid()}-{token}.answer")

signal.signal(signal.SIGUSR2, asked)
presence = Presence(signal.SIGUSR2)
print("ready", flush=True)
while sys.stdin.readline():
    pass
"""
_ANYTHING = anything()
_OUTLOOK = "--json --what-if max_connections=5 --what-if traffic=2 --workers 3".split()
_SEVERITIES = st.one_of(st.sampled_from([one.value for one in Severity]), _ANYTHING)
_FINDINGS = st.lists(
    st.one_of(st.fixed_dictionaries({"severity": _SEVERITIES}), _ANYTHING), max_size=4
)
_MORE = {"snapshot": _ANYTHING}
_TEXT = st.one_of(TEXTS, TEXTS, st.just('"\\ud800"').map(json.loads), _ANYTHING)
_SOME = st.one_of(_FINDINGS, _FINDINGS, _ANYTHING)
_WHOLE = st.fixed_dictionaries({"text": TEXTS, "findings": _FINDINGS}, optional=_MORE)
_REPORTS = st.fixed_dictionaries(
    {}, optional={"text": _TEXT, "findings": _SOME, "error": _ANYTHING, **_MORE}
)
_DEEP = b'{"text": "", "findings": [], "snapshot": %s1%s}'
_ANSWERS = st.one_of(
    *(some.map(lambda one: json.dumps(one).encode()) for some in (_WHOLE, _WHOLE, _REPORTS)),
    _ANYTHING.map(lambda one: json.dumps(one).encode()),
    st.sampled_from((5, 300, 800, 5000)).map(lambda one: _DEEP % (b"[" * one, b"]" * one)),
    st.binary(max_size=100),
    st.sampled_from((b"[" * 200_000, b'{"a":' * 100_000, b"9" * 10_000, b"\xff\xfe{\0}\0", b"")),
)
_ENTRIES = st.fixed_dictionaries(
    {"protocol": st.one_of(st.just(1), st.just(1), _ANYTHING)},
    optional={"signal": st.one_of(integers(-(2**70), 2**70), st.integers(-70, 70), _ANYTHING)},
)


class Answers(Target):
    """A process that answers what was drawn, or whose entry says what was drawn."""

    name = "doctor and the answers of a process"
    share = 0.1

    def __enter__(self) -> Self:
        self._place = tempfile.TemporaryDirectory()
        self._before, tempfile.tempdir = tempfile.tempdir, self._place.name
        self._answer = Path(self._place.name) / "answer"
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROCESS, str(self._answer)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "TMPDIR": self._place.name},
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"
        self._directory = Path(self._place.name) / f"gluellm-pools-{os.geteuid()}"
        self._entry = self._directory / f"{self._process.pid}.json"
        self._usual = self._entry.read_bytes()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate()
        tempfile.tempdir = self._before
        self._place.cleanup()

    def inputs(self) -> st.SearchStrategy[Any]:
        entries = st.one_of(st.none(), st.none(), st.none(), _ENTRIES)
        return st.tuples(_ANSWERS, entries, st.booleans())

    def take(self, given_input: tuple[bytes, dict[str, Any] | None, bool]) -> str:
        body, entry, as_json = given_input
        self._answer.write_bytes(body)
        content = self._usual
        if entry is not None:
            content = json.dumps({**json.loads(self._usual), "signal": None, **entry}).encode()
        self._entry.write_bytes(content)
        printed, said = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said):
            status = main(
                ["doctor", "--pid", str(self._process.pid), "--timeout", "5"]
                + (_OUTLOOK if as_json else [])
            )
        assert status in (0, 1, 2), status
        assert (status == 2) == bool(said.getvalue()), said.getvalue()
        printed.getvalue().encode("utf-8", "strict" if as_json else "surrogatepass")
        if not as_json:
            assert_clean(printed.getvalue())
        elif printed.getvalue():
            json.loads(printed.getvalue())
        assert_clean(said.getvalue())
        assert self._process.poll() is None, "the process is dead"
        wait_until(lambda: [*self._directory.iterdir()] == [self._entry], "only the entry is left")
        return f"exit status {status}"

"""Sub-interpreters: each has its own instrumentation, and does not affect others when it ends."""

import json
import sys
from typing import Any

import pytest

from support.script import Reply

from .requesting import LIBRARIES

WITH_SDK = pytest.mark.skipif(
    sys.version_info < (3, 13),
    reason="OpenTelemetry's SDK starts threads and imports ctypes, which needs 3.13",
)
CONFIGURATIONS = ("legacy", pytest.param("isolated", marks=WITH_SDK))
"""Python's configurations: mod_wsgi uses "legacy", concurrent.interpreters uses "isolated"."""
WARNING = "The instrumentation failed in watch.start with RuntimeError; counted in"

SENT = {
    "other": 2,
    "main beside the other": 3,
    "other after uninstrument": 2,
    "main after the other's uninstrument": 4,
    "second after main has uninstrumented": 5,
    "main at the end": 24,
}
"""Number of ended requests of each library at each step of the program."""


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_each_interpreter_counts_its_own_requests(configuration, run, server):
    """Counts are exact while other interpreters start, uninstrument and end.

    A sub-interpreter that ends with daemon threads aborts the process, and an isolated one cannot
    have any. Sub-interpreters therefore have no watch, which is logged and counted once.
    """
    never = server.reply("/never", Reply(chunks=((0, b"o"),), end_after=server.gate()))
    finished = run("interpreting.py", configuration, server.url(), never)
    assert finished.status == 0, finished.err
    steps: dict[str, dict[str, Any]] = {
        one.pop("what"): one for one in map(json.loads, finished.out.splitlines())
    }
    assert steps.keys() == SENT.keys()
    for what, one in steps.items():
        main = what.startswith("main")
        on = what != "other after uninstrument"
        assert one["requests"] == (dict.fromkeys(LIBRARIES, SENT[what]) if on else {})
        assert one["acquires"] == SENT[what] * len(LIBRARIES) + 2 * main  # two stay in flight
        assert one["errors"] == ({"watch.start": 1} if on and not main else {})
        assert one["threads"] == main
        assert one["active"] == (2 if main and what != "main at the end" else 0)
    warnings = finished.err.splitlines()
    assert len(warnings) == 2, finished.err
    assert all(line.startswith(WARNING) for line in warnings)


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_process_can_end_before_its_sub_interpreter(configuration, run, server):
    """The sub-interpreter is instrumented and has sent a request."""
    finished = run("leaving.py", configuration, server.url())
    assert (finished.status, finished.out) == (0, "end\n"), finished.err
    # From Python 3.14 on, the interpreter itself warns of sub-interpreters that are left.
    warnings = [line for line in finished.err.splitlines() if not line.startswith("<sys>")]
    assert len(warnings) == 1
    assert warnings[0].startswith(WARNING)

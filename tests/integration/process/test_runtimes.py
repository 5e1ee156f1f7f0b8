"""gevent and eventlet work as docs/maintainers/compatibility.md states.

The contract tests run on asyncio, trio and uvloop.
"""

import importlib.util
import json
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.script import Reply
from support.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGUSR2"), reason="no such signals here")

# eventlet uses dnspython's resolver if it is installed. dnspython 2.9 imports httpcore2, which
# imports trio, which fails under eventlet 0.41.
ENVIRONMENT = {"OTEL_PYTHON_GLUELLM_SNAPSHOT_SIGNAL": "SIGUSR2", "EVENTLET_NO_GREENDNS": "yes"}


@pytest.mark.parametrize(
    ("runtime", "library"), [("gevent", "urllib3"), ("gevent", "httpx"), ("eventlet", "urllib3")]
)
def test_requests_count_and_a_signal_is_answered(run, server, runtime, library):
    """The program continues after the signal, and the report has the queued requests.

    A greenlet that blocks makes the hub late, which counts as a late event loop.
    """
    if importlib.util.find_spec(runtime) is None:
        pytest.skip(f"{runtime} is not installed")
    gate = server.gate()
    url = server.reply("/", Reply(head_after=gate))
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(run, "runtimes.py", runtime, library, url, **ENVIRONMENT)
        wait_until(
            lambda: server.timeline.count("request", "/reported") or running.done(),
            timeout=PATIENCE,
        )
        gate.open()
        finished = running.result()
    assert finished.status == 0, finished.err
    counted = json.loads(finished.out.splitlines()[-1])
    assert counted["outcomes"] == [[200, None, 6]]
    assert counted["now"] == 0
    assert counted["peak_queued"] == 4
    assert counted["anomalies"] == 0
    assert counted["late"] > 0.3
    assert "hub of greenlets late by up to" in counted["report"]
    assert "2 active, 0 connecting, 0 idle of 2 connections; 4 queued" in counted["report"]
    assert "gluellm" not in finished.err.lower()

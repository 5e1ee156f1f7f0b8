"""Forks under load: from the main thread, another thread, a signal handler, and a child."""

import json
import os

import pytest

from support.script import Reply

CHILDREN = 6
"""Number of children. Each third one forks a child itself."""

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


@pytest.mark.parametrize("library", ["httpx", "urllib3"])
def test_forked_processes_under_load_count_their_own_requests(library, server, run):
    """No process waits for a lock of the instrumentation.

    A child starts with empty counts and gets its own watch with its first request.
    """
    finished = run("forking.py", library, server.url(), str(CHILDREN))
    assert finished.status == 0, finished.err
    processes = [json.loads(line) for line in finished.out.splitlines()]
    children = [process for process in processes if process["depth"]]
    (parent,) = (process for process in processes if not process["depth"])
    assert len(children) == CHILDREN + CHILDREN // 3
    for child in children:
        assert child["at first"] == 0
        assert child["entered"] == 2
        assert child["uptime is its own"]
        assert child["watched"]
        assert not child["failures"]
    assert parent["entered"] == parent["made"] > 0
    assert not parent["failures"]


def test_forked_child_and_repeated_instrumentation_have_no_findings(server, run):
    """The finding, an unread answer, is the parent's, and ends with its instrumentation."""
    gate = server.gate()
    url = server.reply("/endless", Reply(chunks=((0.0, b"a"), (gate, b"b"))))
    finished = run("judging.py", url)
    assert finished.status == 0, finished.err
    found: dict[str, list[str]] = {}
    for line in finished.out.splitlines():
        found |= json.loads(line)
    assert found == {"parent": ["leak"], "child": [], "uninstrumented": [], "again": []}

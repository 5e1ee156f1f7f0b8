"""A forked child starts empty, and nothing of the parent's is exported twice."""

from __future__ import annotations

import json
import os

import pytest

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.http1 import HTTP1Server
from support.script import Reply

from .conftest import Run

Told = dict[str, dict[str, float]]


@pytest.fixture(params=["httpcore", "httpcore2"])
def forked(request: pytest.FixtureRequest, server: HTTP1Server, run: Run) -> tuple[Told, Told]:
    """What the child and the parent told: right after the fork, and once more in the end."""
    late = server.reply("/late", Reply(head_after=1.0))
    printed = run("fork.py", request.param, server.url(), late).splitlines()
    child, parent = (json.loads(line) for line in printed if line.startswith("{"))
    return child, parent


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forked_child_starts_empty_and_counts_inherited_pools_anew(
    forked: tuple[Told, Told],
) -> None:
    """No record, no pool, no request until its own first one, whose pool is then one of its own."""
    child, parent = forked
    before, after = child["before"], child["after"]
    for name in (
        semconv.LEASE_DURATION,
        semconv.ACQUIRE_DURATION,
        semconv.CONNECTION_CREATE_DURATION,
    ):
        assert name.name not in before
    for metric in (semconv.POOL_LIVE, semconv.ACTIVE_REQUESTS, semconv.REQUESTS):
        assert metric.name not in before
    assert after[semconv.POOL_LIVE.name] == 1
    assert after[semconv.POOL_OPENED.name] == 1
    assert after[semconv.REQUESTS.name] == 1
    assert after[semconv.LEASE_DURATION.name] == 1
    assert after[semconv.ACQUIRE_DURATION.name] == 1
    assert after[semconv.ACTIVE_REQUESTS.name] == 0
    # And the parent goes on as if there had been no child.
    assert parent["before"][semconv.LEASE_DURATION.name] == 3
    assert parent["before"][semconv.REQUESTS.name] == 3
    assert parent["before"][semconv.ACTIVE_REQUESTS.name] == 1
    assert parent["after"][semconv.LEASE_DURATION.name] == 4
    assert parent["after"][semconv.REQUESTS.name] == 4
    assert parent["after"][semconv.ACTIVE_REQUESTS.name] == 0
    assert parent["after"][semconv.POOL_LIVE.name] == 2

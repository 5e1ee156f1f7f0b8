"""Programs in their own processes: forks, exits, missing and aliased libraries."""

import json
import os
from pathlib import Path

import pytest

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.grpc_server import GrpcServer
from support.programs import run_code

HTTP = ("httpx", "httpx2", "urllib3", "aiohttp")
DURATIONS = [semconv.LEASE_DURATION, semconv.ACQUIRE_DURATION, semconv.CONNECTION_CREATE_DURATION]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forked_child_starts_empty_and_counts_inherited_pools_again(server, listen, run):
    """The child reports nothing before its first request. The parent does not count the child's."""
    target = listen(GrpcServer).target
    printed = run("fork.py", server.url(), target, GRPC_ENABLE_FORK_SUPPORT="1").splitlines()
    child, parent = (json.loads(line) for line in printed if line.startswith("{"))
    assert (child["at first"], child["forked"], parent["forked"]) == ([], [*HTTP[:3]], [])
    for library in (*HTTP, "grpc"):
        before, after = child["before"].get(library, {}), child["after"][library]
        for metric in (*DURATIONS, semconv.POOL_LIVE, semconv.ACTIVE_REQUESTS, semconv.REQUESTS):
            assert before.get(metric.name, 0) == 0, (library, metric.name)
        assert library == "grpc" or not before.keys() & {metric.name for metric in DURATIONS}
        expected = {
            semconv.REQUESTS: 1,
            semconv.LEASE_DURATION: 1,
            semconv.POOL_OPENED: 1,
            semconv.ACTIVE_REQUESTS: 0,
            semconv.POOL_LIVE: int(library not in ("aiohttp", "grpc")),  # the child closed these
        }
        assert {metric: after[metric.name] for metric in expected} == expected, library
        before, after = parent["before"][library], parent["after"][library]
        for metric in (semconv.REQUESTS, semconv.LEASE_DURATION):
            assert (before[metric.name], after[metric.name]) == (3, 4), (library, metric.name)
        assert before[semconv.ACTIVE_REQUESTS.name] == int(library != "grpc"), library
        assert after[semconv.ACTIVE_REQUESTS.name] == 0, library
        assert after[semconv.POOL_OPENED.name] == (1 if library in ("aiohttp", "grpc") else 2)
    channel_time = semconv.CHANNEL_TIME.name
    assert child["after"]["grpc"][channel_time] < parent["after"]["grpc"][channel_time]


def test_connections_closed_at_exit_are_not_server_disconnects(server, run):
    """urllib3, not the server, closes idle connections of live pools at exit."""
    assert run("urllib3_exit.py", server.url()) == "{'pool_closed': 1}\n"


def test_without_h2_no_hook_is_missing(run, server):
    """Most programs don't install h2, so they have no HTTP/2 to observe and need no warning."""
    assert run("without_h2.py", server.url()) == "{'httpx': 1, 'httpx2': 1} {0} ()\n"


@pytest.mark.parametrize("loop_lag", [True, False])
def test_missing_hooks_are_reported_before_a_library_is_imported(loop_lag):
    """Boards and alerts use this metric to recognize instrumented processes."""
    program = f"""
        import sys
        from opentelemetry.instrumentation.gluellm.telemetry import semconv
        from support.installation import instrument
        from support.telemetry import Telemetry

        telemetry = Telemetry()
        instrument(telemetry, loop_lag={loop_lag})
        observed = {{"any_llm", "httpcore", "httpcore2", "urllib3", "aiohttp", "grpc"}}
        assert not observed & {{*sys.modules}}
        print([(dict(p.attributes), p.value) for p in telemetry.points(semconv.HOOK_MISSING)])
    """
    done = run_code(program, PYTHONPATH=str(Path(__file__).parents[2]))
    assert done.stdout == "[({'gluellm.hook.library': 'any_llm'}, 0)]\n"


def test_aliased_httpx_is_instrumented_once(server, run):
    """After httpx2.alias_httpx(), both names are one library: one span, one lease per request."""
    assert run("alias.py", server.url()) == "spans=1 leases=1 pools={'httpx2': 1}\n"

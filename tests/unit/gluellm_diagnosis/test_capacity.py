"""Limits of pools, compared with those of the system."""

from typing import Any

import pytest

from gluellm_diagnosis.findings import Kind, Severity
from gluellm_diagnosis.rules.capacity import Check, checks

from .building import a_connection, a_pool, a_snapshot, all_kinds, found, the_totals


def of(workers: int, *pools: Any, **process: Any) -> list[Check]:
    snapshot = a_snapshot((), *pools, **process)
    return [*checks(snapshot.process, snapshot.pools, workers)]


def test_descriptors_are_compared_with_what_the_pools_allow():
    """Of 1 024 descriptors, 47 are open for other purposes than the 3 connections."""
    pool = a_pool(connections=[a_connection()] * 3, max_connections=977)
    assert Kind.CAPACITY not in all_kinds(a_snapshot((), pool))
    more = a_pool(connections=[a_connection()] * 3, max_connections=978)
    finding = found(Kind.CAPACITY, a_snapshot((), more))
    assert finding.severity is Severity.INFO
    assert finding.observed == (
        "50 of 1024 file descriptors are in use, and the pools allow 978 connections."
    )


@pytest.mark.parametrize(("connections", "severity"), [(499, "info"), (500, "warning")])
def test_it_is_a_warning_once_half_is_in_use(connections, severity):
    pool = a_pool(connections=[a_connection()] * connections, max_connections=1001)
    used = {"open_descriptors": 24 + connections, "descriptor_limit": 1024}
    assert found(Kind.CAPACITY, a_snapshot((), pool, **used)).severity == severity


def test_limits_of_many_copies_are_no_advice():
    """A client for each call adds up to far more descriptors than are ever used."""
    pools = [a_pool(max_connections=1000)] * 160
    finding = found(Kind.CAPACITY, a_snapshot((), *pools))
    assert finding.advice.startswith("Keep one client for each provider, allow fewer connections,")
    assert "160009" not in str(finding)


GROWS = "176 of 400 file descriptors are in use, 2.5 more each second: none left in 90 s"


@pytest.mark.parametrize(
    ("opened", "earlier", "text"),
    [
        pytest.param(250, None, GROWS, id="connections that were opened and not closed"),
        pytest.param(250, 76, GROWS.replace("2.5", "1").replace("90", "224"), id="measured"),
        pytest.param(0, None, "176 of 400 file descriptors are in use, and", id="none more"),
        pytest.param(4, None, "176 of 400 file descriptors are in use, and", id="hours are left"),
    ],
)
def test_descriptors_are_said_with_their_growth_and_end(opened, earlier, text):
    """The growth is measured between two snapshots, else it is that of connections."""
    pool, used = a_pool(max_connections=300), {"descriptor_limit": 400, "open_descriptors": 176}
    now = a_snapshot(the_totals(connections_opened=opened), pool, **used)
    before = earlier and a_snapshot(uptime=0.0, open_descriptors=earlier)
    assert text in found(Kind.CAPACITY, now, before).observed
    near = a_snapshot(the_totals(connections_opened=250), pool, **used | {"descriptor_limit": 200})
    observed = found(Kind.DESCRIPTORS_NEAR_LIMIT, near).observed
    assert observed.startswith("176 of 200 file descriptors are in use, 2.5 more each second: none")


def test_descriptors_that_run_out_have_one_finding():
    pool = a_pool(connections=[a_connection()] * 800, max_connections=2000)
    kinds = all_kinds(a_snapshot((), pool, open_descriptors=900))
    assert kinds == [Kind.DESCRIPTORS_NEAR_LIMIT]


def test_ports_are_those_of_all_workers_to_one_destination():
    """Two pools to one server, one to another: the larger sum counts."""
    limits = {"max_connections": 500, "max_connections_per_origin": 100}
    here = {"connections": (a_connection(),), **limits}
    there = {"connections": (a_connection(origin="b.test:443"),), "max_connections": 150}
    pools = (a_pool(**here), a_pool(**here), a_pool(**there))
    fits, exceeds = (of(n, *pools, local_ports=28232)[-1] for n in (141, 142))
    assert fits.allowed == 28200
    assert (exceeds.allowed, exceeds.available) == (28400, 28232)
    assert exceeds.text == (
        "local ports: the pools allow 142 x 200 = 28400 connections to api.test:443, and the host "
        "has 28232 ports per destination"
    )
    assert "allow at most 198 connections in each worker" in exceeds.advice


def test_http2_streams_bound_what_a_limit_on_connections_allows():
    two = a_connection(protocol="2", streams_max=100)
    full = a_pool(connections=(two,), max_connections=100)
    assert Kind.CAPACITY not in all_kinds(a_snapshot((), full))
    pool = a_pool(connections=(a_connection(protocol="2", streams_max=2),), max_connections=100)
    finding = found(Kind.CAPACITY, a_snapshot((), pool))
    assert finding.severity is Severity.INFO
    assert "openai/httpx2 sends at most 2 requests at once on 1 connection" in finding.observed


def test_nothing_is_checked_without_limits():
    """Some pools have no limit, and some systems report no descriptors and no ports."""
    assert not of(9, a_pool(max_connections=None), local_ports=28232)
    connected = a_pool(connections=(a_connection(),))
    assert not of(9, connected, open_descriptors=None, local_ports=None)

"""A store in good order gets no error and no warning."""

import contextlib
import urllib.parse

import pytest

from gluellm_pools.verify.address import read_address
from gluellm_pools.verify.asking import Store
from gluellm_pools.verify.facts import Facts, Series
from gluellm_pools.verify.findings import findings
from gluellm_pools.verify.gathering import _targets as targets
from gluellm_pools.verify.gathering import _unknown as unknown
from gluellm_pools.verify.looking import Look
from gluellm_pools.verify.naming import Style, stored, styled
from gluellm_pools.verify.not_now import why_ended, why_no_rate
from gluellm_pools.verify.promql import Selector
from gluellm_pools.verify.ways import arrivals
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.semconv import Instrument

from .server import answer, serving
from .test_judging import _LEAN, _NOW, given, here, kinds
from .test_naming import names
from .test_ways import COLLECTOR, OTLP

_POD = {"job": "api", "instance": "pod-a:9464", "otel_scope_name": "gluellm"}
_JOB = {"job": "api", "instance": "cron-1"}


def info(instance: str, service: str = "api", **more: str) -> dict[str, str]:
    """What the pod's page says of its process."""
    told = {"service_name": service, "service_instance_id": instance}
    return {"job": _POD["job"], "instance": _POD["instance"], **told, **more}


def both_ways(*labels: dict[str, str], **more) -> Facts:
    """Pods that are scraped, and what sends."""
    return given(
        processes=[Series(one, _NOW - 5) for one in labels],
        targets={("api", "pod-a:9464"): 1.0},
        **more,
    )


def test_different_processes_of_one_service_may_come_by_different_ways():
    """Web pods are scraped, and a job pushes before it ends: nothing is doubled."""
    facts = both_ways(_POD, _JOB, info=[info("pod-a")])
    assert kinds(facts) == ["info: ways_differ"]
    (finding,) = findings(facts, arrivals(facts))
    assert finding.observed == (
        "processes of api come by Prometheus' OTLP endpoint and PrometheusMetricReader"
    )


def test_one_process_that_is_scraped_and_sends_is_doubled():
    """Its scraped page has the instance that it sends with, also under another job."""
    assert kinds(both_ways(_POD, _JOB, info=[info("cron-1")])) == ["error: arrives_twice"]
    named = both_ways(_POD, {**_JOB, "job": "ns/answers"})
    assert kinds(named) == []
    page = info("cron-1", "answers", service_namespace="ns")
    assert kinds(given_info(named, page)) == ["error: arrives_twice"]
    assert kinds(given_info(named, info("cron-1", "others"))) == []


def given_info(facts: Facts, *rows: dict[str, str]) -> Facts:
    return both_ways(*(one.labels for one in facts.processes), info=list(rows))


def test_one_instance_on_two_paths_is_doubled_independent_of_target_info():
    """The labels alone decide."""
    facts = given(processes=[Series(one, _NOW - 5) for one in (COLLECTOR, OTLP)], scraped=True)
    assert kinds(facts) == ["error: arrives_twice"]


def test_recording_rules_are_no_prefix():
    """Both rules that follow the convention, with colons, and copies of a few names."""
    plain = names(Style.EXPECTED)
    rules = [
        "job:gluellm_pool_live",
        "job:gluellm_request_time_seconds_total:rate5m",
        "our:team_gluellm_pool_live",
        "team_gluellm_pool_live",
    ]
    assert stored([*plain, *rules]) == stored(plain)
    assert stored(rules[:3]) == []
    assert unknown([*plain, *rules, "gluellm_new"], stored(plain)) == ["gluellm_new"]


def test_a_namespace_is_still_a_prefix():
    """Alone, or beside plain names of another Collector."""
    plain, ours = names(Style.EXPECTED), names(Style.EXPECTED, "our_")
    assert {one.prefix for one in stored(ours)} == {"our_"}
    assert {one.prefix for one in stored([*plain, *ours])} == {"", "our_"}


def test_what_vanished_or_ended_beside_others_is_no_trouble():
    """The last client was closed: no pool has a limit any more. Or one service of two ended."""
    metric = styled(semconv.CONNECTION_MAX, Style.EXPECTED)
    stored_now = {one.counted for one in given().stored}
    vanished = given(newest_names=stored_now - {metric})
    assert why_ended(vanished, metric) == ("no pool has this now, though one had", True)
    reason, fine = why_ended(given(newest_names=None), metric)
    assert (reason.partition(":")[0], fine) == ("no sample for 5 min", False)
    name = styled(semconv.LEASE_DURATION, Style.EXPECTED) + "_bucket"
    told = why_ended(given(newest_names=stored_now), name)
    assert told == ("what had this has ended, others go on", True)


def test_vanished_counters_are_missing():
    """A running process has counters after its first call, also after a restart with deltas."""
    gauges = [one for one in _LEAN if one.instrument is Instrument.OBSERVABLE_GAUGE]
    facts = given(newest_names={one.counted for one in here(*gauges)})
    reason, fine = why_ended(facts, styled(semconv.REQUESTS, Style.EXPECTED))
    assert not fine
    assert "delta temporality" in reason


@pytest.fixture
def asked():
    """A store that knows one number for each query that holds these words."""

    @contextlib.contextmanager
    def start(known):
        def answering(handler, path):
            sent = urllib.parse.parse_qs(urllib.parse.urlsplit(handler.path).query)
            query = sent.get("query", [""])[0]
            rows = next((rows for words, rows in known if words in query), [])
            data = {"resultType": "vector", "result": rows}
            answer(handler, {"status": "success", "data": data})

        with serving(answering) as url:
            yield Store(read_address(url, [], None), 10.0)

    return start


def row(value: float, **labels: str) -> dict[str, object]:
    """One series of an answer."""
    return {"metric": labels, "value": [_NOW, str(value)]}


@pytest.mark.parametrize(
    ("age", "samples", "interval", "fine"),
    [
        (12, 1, None, True),
        (119, 1, None, True),  # the second is due, and then late
        (121, 1, None, False),
        (21, 1, 10.0, False),
        (12, 2, None, False),  # it had more before
    ],
)
def test_a_first_sample_is_too_early_for_a_rate_and_no_trouble(asked, age, samples, interval, fine):
    """The next one comes within the interval, 60 s where that is not known."""
    answers = [
        (" and ", [row(samples)]),
        ("timestamp(", [row(_NOW - age)]),
        ("count_over_time(", [row(1)]),
    ]
    one = Selector("x_total", (), 300.0)
    with asked(answers) as store:
        told = why_no_rate(store, given(interval=interval), one, "x_total")
    reason = "a rate needs two samples, and there is only one yet: wait for the next"
    assert told == (reason, fine)


def test_a_target_that_was_down_before_it_was_dropped_is_not_down(asked):
    """A pod that ends: one scrape fails, and then service discovery drops it."""
    pod = {"job": "api", "instance": "pod-a"}
    known = [
        ("time()", [row(_NOW)]),
        ("1 + 0 * last_over_time(up{", [row(1, **pod)]),
        ("last_over_time(up{", [row(0, **pod)]),
    ]
    with asked(known) as store:
        found = targets(Look(store, 3600.0, None), [Series(pod, _NOW - 60)])
    assert found == {("api", "pod-a"): 1.0}

"""Queries to a store, and the evaluation of its answers."""

import contextlib
from urllib.parse import parse_qs, urlsplit

import pytest

from gluellm_pools.prometheus import metric_name
from gluellm_pools.verify.address import Address
from gluellm_pools.verify.client import Store
from gluellm_pools.verify.contents import query_contents
from gluellm_pools.verify.product import PROMETHEUS, Product
from opentelemetry.instrumentation.gluellm.telemetry import semconv

from .server import answer, serving

_NOW = 1_000_000.0
_NAME = metric_name(semconv.INSTRUMENTATION_DROPPED)


@contextlib.contextmanager
def store(answers, names=(_NAME,)):
    """A store with these rows for the first words that a query contains."""

    def answering(handler, path):
        query = parse_qs(urlsplit(handler.path).query).get("query", [""])[0]
        rows = next((rows for words, rows in answers if words in query), [])
        if path.endswith("/values"):
            answer(handler, {"status": "success", "data": list(names)})
        else:
            data = {"resultType": "vector", "result": [row(*one) for one in rows]}
            answer(handler, {"status": "success", "data": data})

    with serving(answering) as url:
        yield Store(Address(url), 20.0)


def row(value, labels):
    """A series of an answer."""
    return {"metric": labels, "value": [_NOW, str(value)]}


def contents(answers, service=None):
    clock, counts = ("time()", [(_NOW, {})]), ("count by", [(1, {"__name__": _NAME})])
    with store([clock, counts, *answers]) as one:
        return query_contents(one, Product(PROMETHEUS), 3600.0, service)


@pytest.mark.parametrize(
    ("age", "samples", "is_visible", "lives"),
    [
        (5, 60, True, True),
        (29, 61, True, True),
        (31, 61, True, False),  # three intervals of 10 s
        (5, 60, False, False),  # the store has marked its end
        (250, 1, True, True),  # its interval is unknown
        (310, 1, True, False),
    ],
)
def test_a_process_lives_for_three_intervals_after_its_newest_sample(
    age, samples, is_visible, lives
):
    labels = {"job": "api", "instance": "a"}
    answers = [
        ("max_over_time", [(_NOW - age, labels)]),
        ("min_over_time", [(_NOW - age - 585, labels)]),
        ("count_over_time", [(samples, labels)]),
        ("timestamp", [(_NOW - age, labels)] if is_visible else []),
    ]
    (process,) = contents(answers).processes
    assert process.lives is lives


@pytest.mark.parametrize(
    ("labels", "name", "matcher"),
    [
        ({"job": "answers"}, "answers", 'job="answers"'),
        *(
            ({"job": "shop/answers"}, name, 'job="shop/answers"')
            for name in ("answers", "shop/answers")
        ),
        *(({"job": "shop/answers"}, name, None) for name in ("shop", "swers")),
        ({"job": "programs", "service_name": "answers"}, "answers", 'service_name="answers"'),
        ({"service.name": "answers"}, "answers", '"service.name"="answers"'),
        ({"job": "c", "exported_job": "shop/answers"}, "answers", 'exported_job="shop/answers"'),
        ({"job": "collector", "exported_job": "answers"}, "collector", None),
        ({}, "answers", None),
    ],
)
def test_a_service_is_found_by_job_its_last_part_or_service_name(labels, name, matcher):
    """It is not found by the Collector's own job or a part of a word."""
    found = contents([("timestamp", [(_NOW, labels)])], name)
    assert found.matchers == ([matcher] if matcher else [])
    assert bool(found.processes) is bool(matcher)


def test_failures_of_the_instrumentation_are_found_by_kind():
    """They have numbers, and are those of the service; the label may have another name."""
    kind = "sum by (gluellm_instrumentation_kind)"
    failed = [(3, {"gluellm_instrumentation_kind": "buffer_full"}), (2, {})]
    answers = [
        (f'{kind} ({_NAME}{{job="answers"}}) > 0', failed),
        ("timestamp", [(_NOW, {"job": "answers"})]),
    ]
    assert contents(answers, "answers").failures == ["buffer_full (3)", f"{_NAME} (2)"]

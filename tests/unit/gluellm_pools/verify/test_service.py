"""What ``--service NAME`` matches."""

import pytest

from gluellm_pools.verify.facts import Series, matched_label, matched_values
from gluellm_pools.verify.findings import findings
from gluellm_pools.verify.naming import any_of

from .test_judging import given


@pytest.mark.parametrize(
    ("labels", "name", "label"),
    [
        ({"job": "answers"}, "answers", "job"),
        *(({"job": "shop/answers"}, name, "job") for name in ("answers", "shop/answers")),
        *(({"job": "shop/answers"}, name, None) for name in ("shop", "swers")),
        ({"job": "programs", "service_name": "answers"}, "answers", "service_name"),
        ({"service.name": "answers"}, "answers", "service.name"),
        ({"job": "collector", "exported_job": "shop/answers"}, "answers", "exported_job"),
        ({"job": "collector", "exported_job": "answers"}, "collector", None),
        ({}, "answers", None),
    ],
)
def test_service_matches_job_its_last_part_or_service_name(labels, name, label):
    """It does not match the Collector's own job or a part of a word."""
    assert matched_label(labels, name) == label


def test_one_name_in_two_namespaces_matches_both():
    """The query is an escaped regular expression."""
    processes = [Series({"job": f"{one}/a.b"}, 1.0) for one in ("shop", "lab")]
    values = matched_values(processes, "a.b")
    assert values == {"job": ["lab/a.b", "shop/a.b"]}
    assert any_of("job", values["job"]) == r'job=~"lab/a\\.b|shop/a\\.b"'
    assert any_of("job", ["shop/a.b"]) == 'job="shop/a.b"'


def test_a_name_that_nothing_has_comes_with_those_there_are():
    """A few of them, and how many more."""
    (finding,) = findings(given(processes=[], service="x", services=["shop/answers", "web"]), [])
    assert "the services here: shop/answers, web." in finding.advice
    many = given(processes=[], service="x", services=[f"s{number}" for number in range(500)])
    (finding,) = findings(many, [])
    assert "and 488 more" in finding.advice
    assert len(finding.advice) < 300

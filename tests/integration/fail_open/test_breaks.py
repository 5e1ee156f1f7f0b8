"""Libraries that behave otherwise: some breaks. All: ``-m integration.fail_open.run``."""

from __future__ import annotations

import time

import pytest

from integration.fail_open.breaks import some
from integration.fail_open.discovery import LIBRARIES
from integration.fail_open.judging import complaints, counts, too_many
from integration.fail_open.servers import judged, served, tried
from integration.fail_open.trial import Break

WITHIN = 120.0
"""Seconds for the breaks; as many as that allows on a machine that is very busy."""


@pytest.mark.timeout(400)
def test_broken_libraries(record_property: pytest.RecordProperty) -> None:
    """Requests are as they are without us, one warning tells each loss, and nothing is stuck."""
    found = []
    reached = applicable = again = requests = warnings = 0
    breaks = some()
    with served() as servers:
        for what, outcome, wrong in judged(breaks, servers, within=WITHIN):
            found += [f"{what}: {complaint}" for complaint in wrong]
            reached += 1
            applicable += counts(what, outcome)
            again += outcome.tries > 1
            requests += len(outcome.observed)
            warnings += len(outcome.warnings)
    record_property("breaks of libraries tried", applicable)
    record_property("breaks of libraries tried twice", again)
    record_property("breaks of libraries not reached in time", len(breaks) - reached)
    record_property("requests with a broken library untouched", requests)
    record_property("warnings with broken libraries", warnings)
    assert found == []
    assert not too_many(again, len(breaks))
    assert applicable > reached / 2 > 10


@pytest.mark.timeout(200)
def test_whole_libraries() -> None:
    """The same requests with the libraries as they are: no seam is off, and nobody is warned."""
    with served() as servers:
        outcomes = {
            what.library: outcome
            for what, outcome, _ in tried(
                [Break(name, "none", "", "") for name in LIBRARIES],
                servers,
                until=time.monotonic() + WITHIN,
            )
        }
    assert outcomes.keys() == set(LIBRARIES)
    for name, outcome in outcomes.items():
        assert list(complaints(Break(name, "none", "", ""), outcome)) == []
        assert (outcome.off, outcome.errors, outcome.warnings) == ([], {}, [])
        assert outcome.requests >= len(outcome.observed) - 6

"""Libraries that behave otherwise: some breaks. All: ``-m integration.fail_open.run``."""

from __future__ import annotations

import pytest

from integration.fail_open.breaks import some
from integration.fail_open.discovery import LIBRARIES
from integration.fail_open.judging import complaints
from integration.fail_open.servers import judged, served, tried
from integration.fail_open.trial import Break


@pytest.mark.timeout(400)
def test_broken_libraries(record_property: pytest.RecordProperty) -> None:
    """Requests are as they are without us, one warning tells each loss, and nothing is stuck."""
    found = []
    applicable = requests = warnings = 0
    with served() as servers:
        for what, outcome, wrong in judged(some(), servers):
            found += [f"{what}: {complaint}" for complaint in wrong]
            applicable += outcome.applicable
            requests += len(outcome.observed)
            warnings += len(outcome.warnings)
    record_property("breaks of libraries tried", applicable)
    record_property("requests with a broken library untouched", requests)
    record_property("warnings with broken libraries", warnings)
    assert found == []
    assert applicable > 30


def test_whole_libraries() -> None:
    """The same requests with the libraries as they are: no seam is off, and nobody is warned."""
    with served() as servers:
        outcomes = {
            what.library: outcome
            for what, outcome, _ in tried(
                [Break(name, "none", "", "") for name in LIBRARIES], servers
            )
        }
    assert outcomes.keys() == set(LIBRARIES)
    for name, outcome in outcomes.items():
        assert list(complaints(Break(name, "none", "", ""), outcome)) == []
        assert (outcome.off, outcome.errors, outcome.warnings) == ([], {}, [])
        assert outcome.requests >= len(outcome.observed) - 6

"""A Collector at fault, with OTLP over HTTP: no failure, no stall, no miscount."""

from __future__ import annotations

import pytest

from .playing import FAULTS, Fault, Stage, play
from .verdict import complaints

PROTOCOL = "http/protobuf"


@pytest.mark.parametrize("fault", FAULTS[PROTOCOL], ids=lambda fault: fault.name.lower())
def test_a_fault_of_the_collector_does_no_harm(fault: Fault, stage: Stage) -> None:
    """No exception, no stall, no growth; and the counters are right once the fault is over."""
    assert not complaints(play(fault, PROTOCOL, stage))

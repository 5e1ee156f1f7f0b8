"""A Collector that stays down: the program does not keep what it can't export."""

from __future__ import annotations

import pytest

from .application import PROTOCOLS
from .growth import ROUNDS, grow
from .playing import Stage
from .verdict import BLOCKS_PER_EXPORT, GROWTH_WHILE_DOWN


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_memory_is_bounded_while_the_collector_is_down(protocol: str, quiet_stage: Stage) -> None:
    """Over many exports in vain a program grows no more than over as many that succeed."""
    up, down = grow(protocol, quiet_stage)
    assert up.failed_exports == 0
    assert down.failed_exports >= ROUNDS
    assert down.resident <= max(up.resident, 0) + GROWTH_WHILE_DOWN
    assert down.blocks <= max(up.blocks, 0) + BLOCKS_PER_EXPORT * ROUNDS

"""What a run has to be like, whatever the fault."""

from __future__ import annotations

from .playing import AFTERWARDS, IN_VAIN, STORES, Fault, Figures

STALL = 0.010
"""Seconds for which nothing of ours may stall an event loop."""
GROWTH = 8_000_000
"""Bytes by which a program may grow while its Collector is at fault for some exports: what is
imported and cached to tell of the first failure."""

GROWTH_WHILE_DOWN = 2_000_000
"""Bytes of resident memory more than with a Collector that takes all: what allocators scatter."""
BLOCKS_PER_EXPORT = 40
"""Objects; a request of one pool has thousands, and 4 calls leave as many records."""


def complaints(figures: Figures) -> list[str]:
    """What is not as it should be, in words; empty when all is."""
    with_it, without = figures.with_telemetry, figures.without
    found = {
        f"exceptions reached the program: {figures.errors[:3]}": figures.errors,
        f"a thread made the loop wait for {with_it['waited']:.4f} s": with_it["waited"] >= STALL,
        f"the loop stalled for {with_it['stalled']:.4f} s, without telemetry for "
        f"{without['stalled']:.4f} s": with_it["stalled"] >= without["stalled"] + STALL,
        f"memory grew by {figures.growth} bytes": figures.growth > GROWTH,
        f"no fault was played: {figures.failed_exports} exports failed": (
            figures.failed_exports < IN_VAIN and figures.fault != Fault.SLOW
        ),
        f"slow exports failed: {figures.failed_exports}": (
            figures.failed_exports and figures.fault == Fault.SLOW
        ),
        f"only {figures.exports - figures.failed_exports} exports succeeded": (
            figures.exports - figures.failed_exports < AFTERWARDS
        ),
    }
    for store in STORES:
        for kind, amounts in (("has", figures.stored), ("rose by", figures.increases)):
            told = f"{store} {kind} {amounts[store]:.0f} requests, {figures.answered} were made"
            found[told] = amounts[store] != figures.answered
    return [
        f"{figures.fault}, {figures.protocol}: {text}" for text, wrong in found.items() if wrong
    ]

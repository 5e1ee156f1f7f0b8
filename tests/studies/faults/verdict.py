"""What a run has to be like, whatever the fault."""

from __future__ import annotations

from e2e.programs import STORES

from .growth import ROUNDS, Growth
from .playing import AFTERWARDS, IN_VAIN, Fault, Figures

STALL = 0.010
"""Seconds for which nothing of ours may stall an event loop."""
GROWTH = 8_000_000
"""Bytes by which a program may grow while its Collector is at fault for some exports: what is
imported and cached to tell of the first failure."""

GROWTH_WHILE_DOWN = 2_000_000
"""Bytes of resident memory more than with a Collector that takes all: what allocators scatter."""
BLOCKS_PER_EXPORT = 40
"""Objects; a request of one pool has thousands, and 4 calls leave as many records."""


def harm(figures: Figures) -> list[str]:
    """What must not be on any machine, in words: a failure, a miscount."""
    succeeded = figures.exports - figures.failed_exports
    found = {
        f"exceptions reached the program: {figures.errors[:3]}": figures.errors,
        f"no fault was played: {figures.failed_exports} exports failed": (
            figures.failed_exports < IN_VAIN and figures.fault != Fault.SLOW
        ),
        f"slow exports failed: {figures.failed_exports}": (
            figures.failed_exports and figures.fault == Fault.SLOW
        ),
        f"only {succeeded} exports succeeded": succeeded < AFTERWARDS,
    }
    for store in STORES:
        for kind, amounts in (("has", figures.stored), ("rose by", figures.increases)):
            told = f"{store} {kind} {amounts[store]:.0f} requests, {figures.answered} were made"
            found[told] = amounts[store] != figures.answered
    return _told(figures, found)


def costs(figures: Figures) -> list[str]:
    """What must not be on a machine with nothing else to do: a stall, growth."""
    with_it, without = figures.with_telemetry, figures.without
    return _told(
        figures,
        {
            f"a thread made the loop wait for {with_it['waited']:.4f} s": with_it["waited"]
            >= STALL,
            f"the loop stalled for {with_it['stalled']:.4f} s, without telemetry for "
            f"{without['stalled']:.4f} s": with_it["stalled"] >= without["stalled"] + STALL,
            f"memory grew by {figures.growth} bytes": figures.growth > GROWTH,
        },
    )


def keeps(protocol: str, up: Growth, down: Growth) -> list[str]:
    """Whether a program keeps what it can't export, beside one whose exports succeed."""
    found = {
        f"{up.failed_exports} exports failed with a Collector": up.failed_exports > 0,
        f"only {down.failed_exports} failed without": down.failed_exports < ROUNDS,
        f"grew by {down.resident} bytes": down.resident > max(up.resident, 0) + GROWTH_WHILE_DOWN,
        f"grew by {down.blocks} objects": down.blocks
        > max(up.blocks, 0) + BLOCKS_PER_EXPORT * ROUNDS,
    }
    return [f"memory, {protocol}: {text}" for text, wrong in found.items() if wrong]


def _told(figures: Figures, found: dict[str, object]) -> list[str]:
    return [
        f"{figures.fault}, {figures.protocol}: {text}" for text, wrong in found.items() if wrong
    ]

"""What a run has to be like, whatever the fault."""

from __future__ import annotations

from .playing import AFTERWARDS, IN_VAIN, Figures

STALL = 0.010
"""Seconds for which nothing of the package may stall an event loop."""
GROWTH = 8_000_000
"""Bytes by which a program may grow while its Collector is at fault for some exports: what is
imported and cached to report the first failure."""


def harm(figures: Figures) -> list[str]:
    """What must not be on any machine, in words: a failure, a miscount."""
    last = figures.last
    failed, good = last["failed_exports"], last["good_exports"]
    found = {
        f"exceptions reached the program: {figures.errors[:3]}": bool(figures.errors),
        f"no fault was played: {failed} exports failed": failed < IN_VAIN,
        f"only {good} exports succeeded": good < AFTERWARDS,
    }
    for store, rise in figures.increases.items():
        what = f"{store} rose by {rise:.0f} requests, {last['answered']} were made"
        found[what] = rise != last["answered"]
    return _wrong(figures, found)


def costs(figures: Figures) -> list[str]:
    """What must not be on a machine with nothing else to do: a stall, growth."""
    with_it, without = figures.with_telemetry, figures.without
    waited, stalled, usual = with_it["waited"], with_it["stalled"], without["stalled"]
    found = {
        f"a thread made the loop wait for {waited:.4f} s": waited >= STALL,
        f"the loop stalled for {stalled:.4f} s, without telemetry for {usual:.4f} s": (
            stalled >= usual + STALL
        ),
        f"memory grew by {figures.growth[0]} bytes": figures.growth[0] > GROWTH,
    }
    return _wrong(figures, found)


def _wrong(figures: Figures, found: dict[str, bool]) -> list[str]:
    where = f"{figures.fault}, {figures.protocol}"
    return [f"{where}: {text}" for text, is_wrong in found.items() if is_wrong]

"""The end of a run: what has to be gone, what has to have stayed flat, and the figures."""

from __future__ import annotations

import gc
import threading
import time
from typing import Any, Final

import psutil

from opentelemetry.instrumentation.gluellm import snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv

from .exporting import Sdk
from .measuring import (
    ENOUGH,
    MOST_SETS,
    SERIES_OF_ORIGIN,
    Sample,
    Sampler,
    objects_of_ours,
    points,
    trend,
)
from .setting import Setting

_WATCH: Final = "gluellm-pool-watch"
_PATIENCE: Final = 30.0
"""Seconds; the watch leaves eleven seconds after the last request."""
_JUDGED_AFTER: Final = 2.0
"""Minutes after which everything has been done once at least, and use has become flat, also on a
machine that has more to do."""
_COARSE: Final = 5.0
"""How many times as much what is used may grow in a run that is shorter."""
_KEPT: Final = ("Lease", "PoolTracker", "TrackedConnection", "TrackedChannel", "Installation")
"""Classes of which nothing may be left."""
_FLAT: Final = {
    # The allocator gives back little of what a peak took, and a short run is hardly warm.
    "resident": (0.06, 12e6),
    "blocks": (0.03, 45_000.0),
    "descriptors": (0.3, 40.0),
    "threads": (0.3, 10.0),
}
"""By how much the median of the last quarter may be above the second's: a share, and so many."""


def _wait(condition: Any) -> bool:
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _no_pools_left() -> bool:
    gc.collect()
    return not snapshot().pools


def _threads(name: str) -> list[str]:
    return [thread.name for thread in threading.enumerate() if name in thread.name]


def after(setting: Setting, sdk: Sdk, sampler: Sampler, minutes: float) -> list[str]:
    """What does not hold, once all workers have ended."""
    tally = setting.tally
    broken = [f"an exception of the package: {what}" for what in tally.ours]
    broken += [f"a request ended as none should: {what}" for what in tally.unexpected]
    is_long = minutes >= _JUDGED_AFTER
    broken += _flat(sampler, 1.0 if is_long else _COARSE)
    missing = _missing(setting)
    if missing and is_long:
        broken.append(f"the run did not come to: {missing}")
    if not setting.instrumented:
        return broken
    if not _wait(_no_pools_left):
        broken.append(f"pools are left in the registry: {[p.name for p in snapshot().pools]}")
    of = points(sdk.reader.get_metrics_data())
    current = sum(point.value for point in of.get(semconv.REQUEST_CURRENT.name, ()))
    if current:
        broken.append(f"{current} requests are still told to be under way")
    for point in of.get("gluellm.instrumentation.errors", ()):
        if point.value:
            broken.append(f"own failures: {dict(point.attributes)} {point.value}")
    most_series = max((sample.series for sample in sampler.samples), default=0)
    if most_series > SERIES_OF_ORIGIN * len(sampler.pairs):
        broken.append(f"{most_series} series for {len(sampler.pairs)} pairs of pool and origin")
    if sampler.most_sets >= MOST_SETS or sampler.overflowed:
        broken.append(f"{sampler.most_sets} attribute sets, overflow in {sampler.overflowed}")
    if not _wait(lambda: not _threads(_WATCH)):
        broken.append("the watch is still there although there are no requests")
    return broken


def after_uninstrumenting() -> list[str]:
    """What does not hold when the package is off."""
    broken = []
    if not _wait(lambda: not _threads("gluellm")):
        broken.append(f"threads of the package are left: {_threads('gluellm')}")
    gc.collect()
    gc.collect()
    left = {
        name: count
        for name, count in objects_of_ours().items()
        if name.rpartition(".")[2] in _KEPT and count
    }
    if left:
        broken.append(f"objects of the package are left: {left}")
    return broken


def _missing(setting: Setting) -> list[str]:
    return sorted(setting.deeds - setting.tally.deeds.keys())


def _flat(sampler: Sampler, times: float) -> list[str]:
    samples = sampler.samples
    if len(samples) < ENOUGH:
        return []
    broken = []
    for name, (a_share, some) in _FLAT.items():
        share, more = a_share * times, some * times
        found = trend([getattr(sample, name) for sample in samples], share, more)
        if not found.flat:
            broken.append(
                f"{name} grew from {found.before:.0f} in the second quarter to {found.after:.0f} "
                f"in the last (allowed: {share:.0%} and {more:.0f})"
            )
    return broken


def figures(
    setting: Setting, sdk: Sdk, sampler: Sampler, start: Sample, minutes: float
) -> dict[str, Any]:
    """What the run counted."""
    tally = setting.tally
    samples = sampler.samples or [start]
    warm, last = samples[len(samples) // 4], samples[-1]
    stats = gc.get_stats()
    values: dict[str, Any] = {
        "minutes": round(minutes, 2),
        "requests": sum(tally.requests.values()),
        **{f"requests by {name}": n for name, n in sorted(tally.requests.items())},
        "requests that ended in an exception": sum(tally.endings.values()),
        "requests that were cancelled": tally.cancelled,
        "exceptions of ours": len(tally.ours),
        "unexpected exceptions": len(tally.unexpected),
        **{f"did: {name}": n for name, n in sorted(tally.deeds.items())},
        "kinds of deed": len(setting.deeds),
        "kinds of deed that it did not come to": ", ".join(_missing(setting)) or 0,
        **dict(sorted(sdk.done.items())),
        "collections of metrics": sdk.collections + len(sampler.samples),
        "resident MB at the start": round(start.resident / 1e6, 1),
        "resident MB after warm-up": round(warm.resident / 1e6, 1),
        "resident MB at the end": round(last.resident / 1e6, 1),
        "memory blocks after warm-up": warm.blocks,
        "memory blocks at the end": last.blocks,
        "descriptors at the start": start.descriptors,
        "descriptors after warm-up": warm.descriptors,
        "descriptors at the end": last.descriptors,
        "descriptors when all is over": psutil.Process().num_fds(),
        "series": last.series,
        "pairs of pool and origin": len(sampler.pairs),
        "most attribute sets of an instrument": sampler.most_sets,
        "garbage collections": sum(each["collections"] for each in stats),
        "most threads": sampler.most_threads,
        "largest stall in s": round(setting.progress.longest, 2),
        "largest stall in": setting.progress.longest_in,
    }
    values |= {f"ended: {name}": n for name, n in sorted(tally.endings.items())}
    values |= {f"heard: {name}": n for name, n in sorted(tally.kinds.items())}
    return values

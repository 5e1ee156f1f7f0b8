"""What the package costs whichever library is in use; measured on httpx."""

from __future__ import annotations

from collections.abc import Callable

from . import sources
from .budget import MICROSECONDS, MILLISECONDS, NUMBER, Budget


def _one(value: Callable[[], float]) -> Callable[[], dict[str, float]]:
    return lambda: {"": value()}


def _collection(part: str, key: str) -> Callable[[], dict[str, float]]:
    return _one(lambda: sources.collection(part)[key])


def _memory(part: str, key: str) -> Callable[[], dict[str, float]]:
    return _one(lambda: sources.memory(part)[key])


def _of_which(count: int) -> Callable[[], str]:
    def detail() -> str:
        found = sources.collection("collections")
        ours = found[f"state at {count}"]
        points = found[f"points at {count}"]
        return f"Of which {ours:.2f} ms ours, the rest the SDK's for {points:.0f} points"

    return detail


def _more_points() -> float:
    found = sources.collection("collections")
    return found["points at 10000"] - found["points at 1000"]


def _stall_detail() -> str:
    found = sources.collection("stalls")
    return (
        f"Median of several; worst {found['stall at worst']:.1f} ms, "
        f"without a collection {found['stall of an idle process']:.1f} ms"
    )


def _over_capacity() -> float:
    found = sources.memory("bound")
    return found["held"] - found["capacity"]


def _pools_detail() -> str:
    found = sources.memory("pools")
    return f"Resident memory grew by {found['growth in MB']:.1f} MB from the 20 000th on"


def _series_detail() -> str:
    found = sources.series()
    prefix = "after failures: "
    most = [(name, count) for name, count in found.items() if name.startswith(prefix)][:5]
    listed = ", ".join(f"{name.removeprefix(prefix)} {count:.0f}" for name, count in most)
    return f"{found['points after failures']:.0f} OTLP points. Most: {listed}"


BUDGETS: dict[str, tuple[Budget, ...]] = {
    "collection": (
        Budget(
            "a collection at 1 000 pools",
            1,
            MILLISECONDS,
            _collection("collections", "collection at 1000"),
            _of_which(1_000),
        ),
        Budget(
            "a collection at 10 000 pools",
            20,
            MILLISECONDS,
            _collection("collections", "collection at 10000"),
            _of_which(10_000),
        ),
        Budget("points more at 10 000 pools than at 1 000", 0, NUMBER, _one(_more_points)),
    ),
    "drain": (
        Budget("draining, a record", 10, MICROSECONDS, _collection("drains", "drain per record")),
        Budget(
            "stall of an event loop by a full outbox",
            10,
            MILLISECONDS,
            _collection("stalls", "stall"),
            _stall_detail,
        ),
    ),
    "watch": (
        Budget(
            "watching 100 requests under way, CPU a second",
            5,
            MILLISECONDS,
            _one(lambda: sources.watching()["100 requests"]),
            lambda: f"1 request {sources.watching()['1 requests']:.2f} ms",
        ),
    ),
    "memory": (
        Budget(
            "blocks left, per pool made and dropped",
            0.01,
            "{:.4f}",
            _memory("pools", "blocks per pool"),
            _pools_detail,
        ),
        Budget("a buffered record", 1000, "{:.0f} B", _memory("records", "bytes per record")),
        Budget("items held beyond the bound", 0, NUMBER, _one(_over_capacity)),
    ),
    "series": (
        Budget(
            "series of a healthy provider",
            140,
            NUMBER,
            _one(lambda: sources.series()["healthy"]),
            lambda: f"{sources.series()['healthy points']:.0f} OTLP points",
        ),
        Budget(
            "series after every failure",
            290,
            NUMBER,
            _one(lambda: sources.series()["after failures"]),
            _series_detail,
        ),
    ),
}

"""The rows of the table: what is measured, its budget, and whether it is met."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from . import sources
from .sources import UnavailableError


@dataclass(frozen=True, slots=True)
class Row:
    """One budget beside what was measured."""

    what: str
    budget: str
    measured: str
    met: bool | None
    """None where it could not be measured."""
    detail: str = ""
    gates: bool = False
    """Whether ``--check`` fails when it is not met: counts repeat, times don't."""


@dataclass(frozen=True, slots=True)
class _Budget:
    what: str
    most: float
    unit: str
    """A format for the number."""
    values: Callable[[], dict[str, float]]
    """By combination, or one under the empty name."""
    detail: Callable[[], str] = lambda: ""
    gates: bool = False

    def row(self) -> Row:
        budget = f"<= {self.unit.format(self.most)}"
        try:
            values = self.values()
            detail = self.detail()
        except UnavailableError as reason:
            return Row(self.what, budget, "not measured", None, str(reason), self.gates)
        worst = max(values.values())
        others = "; ".join(
            f"{name} {self.unit.format(value)}" for name, value in values.items() if name
        )
        return Row(
            self.what,
            budget,
            self.unit.format(worst),
            worst <= self.most,
            ". ".join(part for part in (others, detail) if part),
            self.gates,
        )


def _share(numerator: tuple[str, str], *, yardstick: str = "") -> Callable[[], dict[str, float]]:
    """How much one variant takes more than another, as percent of what the yardstick adds."""

    def shares() -> dict[str, float]:
        with_it, without = numerator
        return {
            name: 100
            * (counts[with_it] - counts[without])
            / (counts[f"yardstick{yardstick}"] - counts[f"off{yardstick}"])
            for name, counts in sources.instruction_counts().items()
        }

    return shares


def _no_span(numerator: tuple[str, str]) -> Callable[[], str]:
    def detail() -> str:
        shares = _share(numerator, yardstick=", no span")()
        each = "; ".join(f"{share:.1f} %" for share in shares.values())
        return f"Where the program has no current span: {each}"

    return detail


def _instructions() -> str:
    parts = []
    for name, counts in sources.instruction_counts().items():
        yardstick = (counts["yardstick"] - counts["off"]) / 1e3
        path = (counts["ours"] - counts["off"]) / 1e3
        drain = (counts["all in"] - counts["ours"]) / 1e3
        parts.append(f"{name}: yardstick {yardstick:.0f}k, path {path:.1f}k, drain {drain:.0f}k")
    return "; ".join(parts)


def _path_detail() -> str:
    return f"{_no_span(('ours, no span', 'off, no span'))()}. Instructions: {_instructions()}"


def _cpu(key: str, scale: float = 1.0) -> Callable[[], dict[str, float]]:
    return lambda: {name: took[key] * scale for name, took in sources.cpu_times().items()}


def _cpu_detail() -> str:
    return "; ".join(
        f"{name}: request {took['request']:.0f} µs, yardstick {took['yardstick']:.0f}, "
        f"path {took['path']:.1f}, drain {took['drain']:.1f}"
        for name, took in sources.cpu_times().items()
    )


def _chunk_instructions() -> str:
    try:
        counts = sources.instruction_counts()
    except UnavailableError:
        return ""
    each = (
        f"{name} {count['stream ours'] - count['stream off']:.0f}" for name, count in counts.items()
    )
    return "Instructions: " + "; ".join(each)


def _outside_instructions() -> str:
    try:
        counts = sources.instruction_counts()
    except UnavailableError:
        return ""
    each = (f"{name} {count['outside'] - count['off']:.0f}" for name, count in counts.items())
    return "Instructions: " + "; ".join(each)


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


_PERCENT = "{:.1f} %"
_MICROSECONDS = "{:.2f} µs"
_MILLISECONDS = "{:.2f} ms"
_NUMBER = "{:.0f}"

BUDGETS: dict[str, tuple[_Budget, ...]] = {
    "request-path": (
        _Budget(
            "request path, instructions, of the yardstick's",
            3,
            _PERCENT,
            _share(("ours", "off")),
            _path_detail,
            gates=True,
        ),
        _Budget("request path, CPU", 10, _MICROSECONDS, _cpu("path"), _cpu_detail),
    ),
    "all-in": (
        _Budget(
            "all in with both records, instructions, of the yardstick's",
            28,
            _PERCENT,
            _share(("all in", "off")),
            _no_span(("all in, no span", "off, no span")),
            gates=True,
        ),
        _Budget("all in, CPU, of the yardstick's", 16, _PERCENT, _cpu("all in ratio", 100)),
    ),
    "no-sdk": (
        _Budget(
            "no SDK, instructions, of the yardstick's with one",
            5,
            _PERCENT,
            _share(("ours, no SDK", "off, no SDK")),
            gates=True,
        ),
    ),
    "chunk": (
        _Budget(
            "a chunk of a streamed body, CPU", 1, _MICROSECONDS, _cpu("chunk"), _chunk_instructions
        ),
    ),
    "outside": (
        _Budget(
            "a pool outside the scope, CPU of a request",
            0.5,
            _MICROSECONDS,
            _cpu("outside"),
            _outside_instructions,
        ),
    ),
    "collection": (
        _Budget(
            "a collection at 1 000 pools",
            1,
            _MILLISECONDS,
            _collection("collections", "collection at 1000"),
            _of_which(1_000),
        ),
        _Budget(
            "a collection at 10 000 pools",
            20,
            _MILLISECONDS,
            _collection("collections", "collection at 10000"),
            _of_which(10_000),
        ),
        _Budget("points more at 10 000 pools than at 1 000", 0, _NUMBER, _one(_more_points)),
    ),
    "drain": (
        _Budget("draining, a record", 10, _MICROSECONDS, _collection("drains", "drain per record")),
        _Budget(
            "stall of an event loop by a full outbox",
            10,
            _MILLISECONDS,
            _collection("stalls", "stall"),
            _stall_detail,
        ),
    ),
    "watch": (
        _Budget(
            "watching 100 requests under way, CPU a second",
            5,
            _MILLISECONDS,
            _one(lambda: sources.watching()["100 requests"]),
            lambda: f"1 request {sources.watching()['1 requests']:.2f} ms",
        ),
    ),
    "memory": (
        _Budget(
            "blocks left, per pool made and dropped",
            0.01,
            "{:.4f}",
            _memory("pools", "blocks per pool"),
            _pools_detail,
        ),
        _Budget(
            "cyclic garbage more, objects a request",
            0,
            "{:.2f}",
            lambda: sources.memory("garbage"),
        ),
        _Budget("a buffered record", 1000, "{:.0f} B", _memory("records", "bytes per record")),
        _Budget("items held beyond the bound", 0, _NUMBER, _one(_over_capacity)),
    ),
    "series": (
        _Budget(
            "series of a healthy provider",
            110,
            _NUMBER,
            _one(lambda: sources.series()["healthy"]),
            lambda: f"{sources.series()['healthy points']:.0f} OTLP points",
        ),
        _Budget(
            "series after every failure",
            200,
            _NUMBER,
            _one(lambda: sources.series()["after failures"]),
            _series_detail,
        ),
    ),
}


def rows(groups: Iterable[str]) -> Iterator[Row]:
    """Measure these groups' rows, one after the other."""
    for group in groups:
        for budget in BUDGETS[group]:
            yield budget.row()

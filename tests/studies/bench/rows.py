"""The budgets, beside what was measured: a block for each library, and one for all of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial

from . import sources
from .workload import FAMILIES, YARDSTICKS

PERCENT = "{:.1f} %"
MICROSECONDS = "{:.2f} µs"
MILLISECONDS = "{:.2f} ms"
NUMBER = "{:.0f}"


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
class Budget:
    """What may be spent, and how to find what is."""

    what: str
    most: float
    unit: str
    """A format for the number."""
    values: Callable[[], dict[str, float] | float]
    """By combination, or one."""
    detail: Callable[[], str] = str
    gates: bool = False

    def row(self) -> Row:
        """Measure."""
        budget = f"<= {self.unit.format(self.most)}"
        try:
            found, detail = self.values(), self.detail()
        except sources.UnavailableError as reason:
            return Row(self.what, budget, "not measured", None, str(reason), self.gates)
        values = found if isinstance(found, dict) else {"": found}
        worst = max(values.values())
        each = "; ".join(f"{name} {self.unit.format(v)}" for name, v in values.items() if name)
        detail = ". ".join(part for part in (each, detail) if part)
        met = worst <= self.most
        return Row(self.what, budget, self.unit.format(worst), met, detail, self.gates)


@dataclass(frozen=True, slots=True)
class Block:
    """Rows that belong together."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class _Requests:
    """What the measurements of a family's requests say."""

    family: str

    def budgets(self) -> dict[str, tuple[Budget, ...]]:
        """The same percentages for each family, by group."""
        share, cpu, of_all = self.share, self.cpu, "instructions, of the yardstick's"
        chunk = partial(self.instructions, "stream ours", "stream off")
        outside = partial(self.instructions, "outside", "off")
        return {
            "request-path": (
                Budget(
                    *(f"request path, {of_all}", 3, PERCENT, partial(share, "ours", "off")),
                    *(self.path_detail, True),
                ),
                Budget(
                    *("request path, CPU", 10, MICROSECONDS, partial(cpu, "path"), self.cpu_detail)
                ),
            ),
            "all-in": (
                Budget(
                    *(f"all in with both records, {of_all}", 28, PERCENT),
                    *(partial(share, "all in", "off"), partial(self.no_span, "all in, no span")),
                    gates=True,
                ),
                Budget(
                    *("all in, CPU, of the yardstick's", 16, PERCENT),
                    partial(cpu, "all in ratio", 100),
                ),
            ),
            "no-sdk": (
                Budget(
                    *(f"no SDK, {of_all} with one", 5, PERCENT),
                    partial(share, "ours, no SDK", "off, no SDK"),
                    gates=True,
                ),
            ),
            "chunk": (
                Budget("a chunk of a streamed body, CPU", 1, MICROSECONDS, self.chunk, chunk),
            ),
            "outside": (
                Budget(
                    *("a pool outside the scope, CPU of a request", 0.5, MICROSECONDS),
                    *(partial(cpu, "outside"), outside),
                ),
            ),
            "garbage": (
                Budget(
                    *("cyclic garbage more, objects a request", 0, "{:.2f}"),
                    partial(sources.garbage, self.family),
                ),
            ),
        }

    def share(self, with_it: str, without: str, span: str = "") -> dict[str, float]:
        """How much one variant takes more than another, as percent of what the yardstick adds."""
        return {
            name: 100
            * (counts[with_it] - counts[without])
            / (counts[f"yardstick{span}"] - counts[f"off{span}"])
            for name, counts in sources.instruction_counts(self.family).items()
        }

    def no_span(self, with_it: str) -> str:
        """The same share in a program that has no current span."""
        shares = self.share(with_it, "off, no span", ", no span")
        each = "; ".join(f"{share:.1f} %" for share in shares.values())
        return f"Where the program has no current span: {each}"

    def path_detail(self) -> str:
        """Instructions of the yardstick, of the request's path and of the drain."""
        parts = [
            f"{name}: yardstick {(counts['yardstick'] - counts['off']) / 1e3:.0f}k, "
            f"path {(counts['ours'] - counts['off']) / 1e3:.1f}k, "
            f"drain {(counts['all in'] - counts['ours']) / 1e3:.0f}k"
            for name, counts in sources.instruction_counts(self.family).items()
        ]
        return f"{self.no_span('ours, no span')}. Instructions: {'; '.join(parts)}"

    def instructions(self, with_it: str, without: str) -> str:
        """How many instructions one variant takes more than another."""
        try:
            counts = sources.instruction_counts(self.family)
        except sources.UnavailableError:
            return ""
        each = (f"{name} {count[with_it] - count[without]:.0f}" for name, count in counts.items())
        return "Instructions: " + "; ".join(each)

    def cpu(self, key: str, scale: float = 1.0) -> dict[str, float]:
        """One of the CPU times by combination."""
        times = sources.cpu_times(self.family)
        return {name: took[key] * scale for name, took in times.items()}

    def chunk(self) -> dict[str, float]:
        """CPU time of a chunk by combination."""
        if self.family == "grpc":
            # Its threads take 50 microseconds a chunk, and ten more or less from run to run.
            more = self.instructions("stream ours", "stream off")
            raise sources.UnavailableError(f"drowned by what gRPC's own threads take. {more}")
        return self.cpu("chunk")

    def cpu_detail(self) -> str:
        """The CPU times that the row's value comes from."""
        return "; ".join(
            f"{name}: request {took['request']:.0f} µs, yardstick {took['yardstick']:.0f}, "
            f"path {took['path']:.1f}, drain {took['drain']:.1f}"
            for name, took in sources.cpu_times(self.family).items()
        )


def _whole(what: str, most: float, unit: str, source: str, *keys: str, detail: str = "") -> Budget:
    """One number that a part of a module measures, or how much it is more than a second one.

    ``detail`` is a text with the measured numbers in their places.
    """
    part = partial(sources.part, *source.split("."))

    def value() -> float:
        found = part()
        return found[keys[0]] - sum(found[key] for key in keys[1:])

    return Budget(what, most, unit, value, lambda: detail.format(found=part()))


_COLLECTION, _DRAINS, _STALLS = "collection.collections", "collection.drains", "collection.stalls"
_OF_WHICH = "Of which {{found[state at {0}]:.2f}} ms ours, the rest the SDK's for "
_POINTS = "{{found[points at {0}]:.0f}} points"
WHICHEVER: dict[str, tuple[Budget, ...]] = {
    "collection": (
        *(
            _whole(
                *(f"a collection at {text} pools", most, MILLISECONDS),
                *(_COLLECTION, f"collection at {count}"),
                detail=(_OF_WHICH + _POINTS).format(count),
            )
            for count, text, most in ((1_000, "1 000", 1), (10_000, "10 000", 20))
        ),
        _whole(
            *("points more at 10 000 pools than at 1 000", 0, NUMBER),
            *(_COLLECTION, "points at 10000", "points at 1000"),
        ),
    ),
    "drain": (
        _whole("draining, a record", 10, MICROSECONDS, _DRAINS, "drain per record"),
        _whole(
            *("stall of an event loop by a full outbox", 10, MILLISECONDS, _STALLS, "stall"),
            detail="Median of several; worst {found[stall at worst]:.1f} ms, "
            "without a collection {found[stall of an idle process]:.1f} ms",
        ),
    ),
    "watch": (
        _whole(
            *("watching 100 requests under way, CPU a second", 5, MILLISECONDS),
            *("collection.watch", "100 requests"),
            detail="1 request {found[1 requests]:.2f} ms",
        ),
    ),
    "memory": (
        _whole(
            *("blocks left, per pool made and dropped", 0.01, "{:.4f}"),
            *("memory.pools", "blocks per pool"),
            detail="Resident memory grew by {found[growth in MB]:.1f} MB from the 20 000th on",
        ),
        _whole("a buffered record", 1000, "{:.0f} B", "memory.records", "bytes per record"),
        _whole("items held beyond the bound", 0, NUMBER, "memory.bound", "held", "capacity"),
    ),
    "series": (
        _whole(
            *("series of a healthy provider", 140, NUMBER, "series", "healthy"),
            detail="{found[healthy points]:.0f} OTLP points",
        ),
        _whole(
            *("series after every failure", 290, NUMBER, "series", "after failures"),
            detail="{found[points after failures]:.0f} OTLP points. Most: {found[most]}",
        ),
    ),
}
GROUPS = (*_Requests("httpx").budgets(), *WHICHEVER)


def blocks(groups: Collection[str] = (), libraries: Collection[str] = ()) -> Iterator[Block]:
    """Measure, block by block, the rows of these groups and libraries; of none: of all.

    What no library has of its own is left out where libraries are named and its group is not.
    """
    wanted = {
        f"{family}, beside opentelemetry-instrumentation-"
        + YARDSTICKS[family].package.replace("_", "-"): _Requests(family).budgets()
        for family in FAMILIES
        if not libraries or family in libraries
    }
    if groups or not libraries:
        wanted["whichever library"] = WHICHEVER
    for title, budgets in wanted.items():
        rows = [row for group in budgets if group in (groups or budgets) for row in budgets[group]]
        if rows:
            yield Block(title, tuple(budget.row() for budget in rows))

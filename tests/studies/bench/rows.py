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
        path = partial(self.share, "ours", "off")
        all_in, no_sdk = (
            partial(self.share, "all in", "off"),
            partial(self.share, "ours, no SDK", "off, no SDK"),
        )
        path_cpu = partial(self.cpu, "path")
        chunk_detail = partial(self.instructions, "stream ours", "stream off")
        outside_detail = partial(self.instructions, "outside", "off")
        all_in_cpu = partial(self.cpu, "all in ratio", 100)
        no_span = partial(self.no_span, "all in, no span")
        of_all = "instructions, of the yardstick's"
        return {
            "request-path": (
                Budget(f"request path, {of_all}", 3, PERCENT, path, self.path_detail, gates=True),
                Budget("request path, CPU", 10, MICROSECONDS, path_cpu, self.cpu_detail),
            ),
            "all-in": (
                Budget(
                    f"all in with both records, {of_all}", 28, PERCENT, all_in, no_span, gates=True
                ),
                Budget("all in, CPU, of the yardstick's", 16, PERCENT, all_in_cpu),
            ),
            "no-sdk": (Budget(f"no SDK, {of_all} with one", 5, PERCENT, no_sdk, gates=True),),
            "chunk": (
                Budget(
                    "a chunk of a streamed body, CPU", 1, MICROSECONDS, self.chunk, chunk_detail
                ),
            ),
            "outside": (
                Budget(
                    "a pool outside the scope, CPU of a request",
                    0.5,
                    MICROSECONDS,
                    partial(self.cpu, "outside"),
                    outside_detail,
                ),
            ),
            "garbage": (
                Budget(
                    "cyclic garbage more, objects a request",
                    0,
                    "{:.2f}",
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


def _one(module: str, part: str, key: str) -> Callable[[], float]:
    return lambda: sources.part(module, part)[key]


def _detail(text: str, module: str, part: str = "") -> Callable[[], str]:
    """A text with the measured numbers in their places."""
    return lambda: text.format(found=sources.part(module, part))


def _collection(pools: int, most: float) -> Budget:
    return Budget(
        f"a collection at {pools:,} pools".replace(",", " "),
        most,
        MILLISECONDS,
        _one("collection", "collections", f"collection at {pools}"),
        _detail(
            f"Of which {{found[state at {pools}]:.2f}} ms ours, the rest the SDK's for "
            f"{{found[points at {pools}]:.0f}} points",
            "collection",
            "collections",
        ),
    )


def _more_points() -> float:
    found = sources.part("collection", "collections")
    return found["points at 10000"] - found["points at 1000"]


def _over_capacity() -> float:
    found = sources.part("memory", "bound")
    return found["held"] - found["capacity"]


def _series_detail() -> str:
    found = sources.part("series")
    prefix = "after failures: "
    most = [(name, count) for name, count in found.items() if name.startswith(prefix)][:5]
    listed = ", ".join(f"{name.removeprefix(prefix)} {count:.0f}" for name, count in most)
    return f"{found['points after failures']:.0f} OTLP points. Most: {listed}"


WHICHEVER: dict[str, tuple[Budget, ...]] = {
    "collection": (
        _collection(1_000, 1),
        _collection(10_000, 20),
        Budget("points more at 10 000 pools than at 1 000", 0, NUMBER, _more_points),
    ),
    "drain": (
        Budget(
            "draining, a record",
            10,
            MICROSECONDS,
            _one("collection", "drains", "drain per record"),
        ),
        Budget(
            "stall of an event loop by a full outbox",
            10,
            MILLISECONDS,
            _one("collection", "stalls", "stall"),
            _detail(
                "Median of several; worst {found[stall at worst]:.1f} ms, "
                "without a collection {found[stall of an idle process]:.1f} ms",
                "collection",
                "stalls",
            ),
        ),
    ),
    "watch": (
        Budget(
            "watching 100 requests under way, CPU a second",
            5,
            MILLISECONDS,
            _one("watching", "", "100 requests"),
            _detail("1 request {found[1 requests]:.2f} ms", "watching"),
        ),
    ),
    "memory": (
        Budget(
            "blocks left, per pool made and dropped",
            0.01,
            "{:.4f}",
            _one("memory", "pools", "blocks per pool"),
            _detail(
                "Resident memory grew by {found[growth in MB]:.1f} MB from the 20 000th on",
                "memory",
                "pools",
            ),
        ),
        Budget(
            "a buffered record", 1000, "{:.0f} B", _one("memory", "records", "bytes per record")
        ),
        Budget("items held beyond the bound", 0, NUMBER, _over_capacity),
    ),
    "series": (
        Budget(
            "series of a healthy provider",
            140,
            NUMBER,
            _one("series", "", "healthy"),
            _detail("{found[healthy points]:.0f} OTLP points", "series"),
        ),
        Budget(
            "series after every failure",
            290,
            NUMBER,
            _one("series", "", "after failures"),
            _series_detail,
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

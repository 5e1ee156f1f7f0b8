"""Budgets with measured values: a block for each family of libraries, and one for the rest."""

import tomllib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from studies.talking import FailedError

from . import sources
from .workload import FAMILIES, YARDSTICKS


@dataclass(frozen=True, slots=True)
class Row:
    """One budget with its measured value."""

    what: str
    budget: str
    measured: str
    met: bool | None
    """None if it could not be measured."""
    detail: str = ""
    gates: bool = False
    """Whether ``--check`` fails if the budget is missed: counts repeat, times don't."""


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit, and how to measure the value that it limits."""

    what: str
    most: float
    unit: str
    """A format for the number."""
    values: Callable[[], dict[str, float] | float]
    """A value for each combination, or one value."""
    detail: Callable[[], str] = str
    gates: bool = False

    def row(self) -> Row:
        """Measure."""
        budget = f"<= {self.unit.format(self.most)}"
        try:
            found, detail = self.values(), self.detail()
        except FailedError as reason:
            return Row(self.what, budget, "not measured", None, str(reason), self.gates)
        values = found if isinstance(found, dict) else {"": found}
        worst = max(values.values())
        each = "; ".join(f"{name} {self.unit.format(v)}" for name, v in values.items() if name)
        detail = ". ".join(part for part in (each, detail) if part)
        met = worst <= self.most
        return Row(self.what, budget, self.unit.format(worst), met, detail, self.gates)


@dataclass(frozen=True, slots=True)
class _Requests:
    """Values for the budgets of one family of libraries."""

    family: str

    def budgets(self) -> dict[str, tuple[Budget, ...]]:
        """The budgets by group, the same for each family."""
        return {group: tuple(map(self._budget, some)) for group, some in _OF_FAMILIES.items()}

    def _budget(self, entry: dict[str, Any]) -> Budget:
        parts = {
            name: partial(getattr(self, value[0]), *value[1:])
            for name, value in entry.items()
            if name in ("values", "detail")
        }
        return Budget(**{**entry, **parts})

    def share(self, with_it: str, without: str, span: str = "") -> dict[str, float]:
        """Cost of one variant over another, in percent of what the yardstick adds."""
        return {
            name: 100
            * (counts[with_it] - counts[without])
            / (counts[f"yardstick{span}"] - counts[f"off{span}"])
            for name, counts in sources.instruction_counts(self.family).items()
        }

    def no_span(self, with_it: str) -> str:
        """`share` in a program without a current span, as text."""
        shares = self.share(with_it, "off, no span", ", no span")
        each = "; ".join(f"{share:.1f} %" for share in shares.values())
        return f"Where the program has no current span: {each}"

    def path_detail(self) -> str:
        """Instructions of the yardstick and of the drain."""
        parts = [
            f"{name}: yardstick {(counts['yardstick'] - counts['off']) / 1e3:.0f}k, "
            f"drain {(counts['all in'] - counts['ours']) / 1e3:.0f}k"
            for name, counts in sources.instruction_counts(self.family).items()
        ]
        return "; ".join(parts)

    def more(self, with_it: str, without: str) -> dict[str, float]:
        """Instructions of one variant in addition to another."""
        counts = sources.instruction_counts(self.family)
        return {name: count[with_it] - count[without] for name, count in counts.items()}

    def more_of_request(self, with_it: str, without: str) -> dict[str, float]:
        """`more` in percent of the request itself."""
        counts = sources.instruction_counts(self.family)
        return {name: 100 * (count[with_it] / count[without] - 1) for name, count in counts.items()}

    def instructions(self, with_it: str, without: str) -> str:
        """`more` as text; empty if it could not be measured."""
        try:
            each = (f"{name} {more:.0f}" for name, more in self.more(with_it, without).items())
            return "Instructions: " + "; ".join(each)
        except FailedError:
            return ""

    def garbage(self) -> dict[str, float]:
        """Additional objects of cyclic garbage per request, by combination."""
        return {
            str(each): sources.part("memory", str(each))["more"] for each in FAMILIES[self.family]
        }

    def cpu(self, key: str, scale: float = 1.0) -> dict[str, float]:
        """One of the CPU times by combination."""
        times = sources.cpu_times(self.family)
        return {name: took[key] * scale for name, took in times.items()}

    def chunk(self) -> dict[str, float]:
        """CPU time of a chunk by combination."""
        if self.family == "grpc":
            # gRPC's threads take 50 microseconds per chunk, and vary by ten from run to run.
            more = self.instructions("stream ours", "stream off")
            raise FailedError(f"hidden by the CPU time of gRPC's own threads. {more}")
        return self.cpu("chunk")

    def cpu_detail(self) -> str:
        """The CPU times that the row's value comes from."""
        return "; ".join(
            f"{name}: request {took['request']:.0f} µs, yardstick {took['yardstick']:.0f}, "
            f"path {took['path']:.1f}, drain {took['drain']:.1f}, all in {took['all in']:.1f}"
            for name, took in sources.cpu_times(self.family).items()
        )


def _whole(
    what: str,
    most: float,
    unit: str,
    value: list[str],
    detail: str = "",
    *,
    gates: bool = False,
) -> Budget:
    source, key, *less = value
    part = partial(sources.part, *source.split("."))

    def values() -> float:
        found = part()
        return found[key] - sum(found[each] for each in less)

    return Budget(what, most, unit, values, lambda: detail.format(found=part()), gates)


_TABLE = tomllib.loads(Path(__file__).with_name("budgets.toml").read_text(encoding="utf-8"))
_OF_FAMILIES = _TABLE.pop("family")
ANY_LIBRARY: dict[str, tuple[Budget, ...]] = {
    group: tuple(_whole(**budget) for budget in budgets) for group, budgets in _TABLE.items()
}
GROUPS = (*_OF_FAMILIES, *ANY_LIBRARY)


def blocks(
    groups: Collection[str] = (), libraries: Collection[str] = ()
) -> Iterator[tuple[str, list[Row]]]:
    """Measure the rows of these groups and libraries, block by block; by default all.

    Where libraries are named, rows that don't depend on a library are left out unless groups are
    named as well.
    """
    wanted = {
        f"{family}, beside opentelemetry-instrumentation-"
        + YARDSTICKS[family][0].replace("_", "-"): _Requests(family).budgets()
        for family in FAMILIES
        if not libraries or family in libraries
    }
    if groups or not libraries:
        wanted["any library"] = ANY_LIBRARY
    for title, budgets in wanted.items():
        rows = [row for group in budgets if group in (groups or budgets) for row in budgets[group]]
        if rows:
            yield title, [budget.row() for budget in rows]

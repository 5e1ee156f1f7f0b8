"""The tables, as text."""

from collections import defaultdict
from collections.abc import Sequence

from .building import Built
from .evaluation import Group
from .template import BUDGET
from .timing import FLEET_BUDGET, P95_BUDGET, Timed, share

_VERDICTS = {True: "met", False: "NOT MET"}
_FLEET = "gluellm-fleet"
_QUERY = "{:20}  {:44}  {:>6}  {:>6}  {:>9}  {:>7}  {:>6}  {:>6}  {}"
_RULES = "{:18}  {:>7}  {:>7}  {:>9}  {:66}  {}"


def of_series(built: Built, instances: int, stored: int) -> str:
    """Series of one program beside the budget, and how many the store has."""
    own = built.series.get("", 0)
    providers = {name: count for name, count in sorted(built.series.items()) if name}
    worst, each = max(providers.values()), sum(built.series.values())
    told = ", ".join(f"{count} {name}" for name, count in providers.items())
    return (
        f"Series of one program, of real calls: {told}; {own} of the process.\n"
        f"The most of a provider: {worst} of {BUDGET}: {_VERDICTS[worst <= BUDGET]}.\n"
        f"A program: {each}; {instances} of them: {each * instances}. "
        f"Prometheus has {stored} at the end."
    )


def of_queries(queries: Sequence[Timed]) -> str:
    """All queries, the slowest first."""
    columns = ("board", "panel", "step", "series", "samples", "cold ms", "ms", "CPU ms", "")
    lines = [_QUERY.format(*columns)]
    for one in sorted(queries, key=lambda timed: -timed.median):
        times = (one.cold.seconds, one.median, one.processor)
        cells = (
            *(
                one.asked.board,
                one.asked.panel[:44],
                f"{one.asked.step} s" if one.asked.step else "-",
            ),
            *(one.touched, one.warm[0].samples if one.warm else 0),
            *(f"{seconds * 1000:.0f}" for seconds in times),
        )
        lines.append(_QUERY.format(*cells, one.error[:80]).rstrip())
    return "\n".join(lines)


def of_boards(queries: Sequence[Timed]) -> str:
    """What it takes Prometheus to open each board, once."""
    computed: dict[str, float] = defaultdict(float)
    for one in queries:
        computed[one.asked.board] += one.processor
    told = ", ".join(f"{board} {seconds:.1f} s" for board, seconds in sorted(computed.items()))
    return f"Processor time for all queries of a board: {told}."


def summary(queries: Sequence[Timed]) -> tuple[str, bool]:
    """What the budgets say, and whether they are met."""
    medians = [one.median for one in queries]
    cold = [one.cold.seconds for one in queries]
    worst = max(queries, key=lambda one: one.median)
    fleet = [one for one in queries if one.asked.board == _FLEET]
    errors = [one for one in queries if one.error]
    p95 = share(medians, 0.95)
    lines = [
        (
            f"{len(queries)} queries: p50 {_ms(share(medians, 0.5))}, p95 {_ms(p95)} "
            f"(budget {_ms(P95_BUDGET)}: {_VERDICTS[p95 <= P95_BUDGET]}); "
            f"cold p95 {_ms(share(cold, 0.95))}."
        ),
        f"The slowest: {_ms(worst.median)}, {worst.asked.board}: {worst.asked.panel}.",
    ]
    met = p95 <= P95_BUDGET and not errors
    if fleet:
        slowest = max(fleet, key=lambda one: one.median)
        within = slowest.median <= FLEET_BUDGET
        met = met and within
        lines.append(
            f"The fleet's slowest: {_ms(slowest.median)} (budget {_ms(FLEET_BUDGET)}: "
            f"{_VERDICTS[within]}), {slowest.asked.panel}."
        )
    lines += [f"REFUSED {one.asked.board}: {one.asked.panel}: {one.error}" for one in errors]
    return "\n".join(lines), met


def of_rules(groups: Sequence[Group]) -> str:
    """Each group's evaluation beside its interval."""
    lines = [_RULES.format("group", "every s", "takes s", "slowest s", "slowest rule", "")]
    for one in groups:
        times = (f"{one.interval:.0f}", f"{one.seconds:.2f}", f"{one.slowest_seconds:.2f}")
        lines.append(_RULES.format(one.name, *times, one.slowest, _VERDICTS[one.met]))
    errors = [f"FAILS {error}" for one in groups for error in one.errors]
    return "\n".join([*lines, *errors])


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"

"""The tables of docs/providers.md, from what the census measured."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from gluellm_diagnosis.advice.families import OWN_POOL_PER_CALL
from opentelemetry.instrumentation.gluellm.adapters import ADAPTERS
from opentelemetry.instrumentation.gluellm.telemetry import semconv

from . import advice
from .rows import Row

_COLUMNS = (
    "providers|SDK|library|connections|idle|idle for|pool timeout|read timeout|set by"
).split("|")
N = "N"
"""Placeholder for a number in the advice."""


def filled(text: str, rows: Sequence[Row], visible: Mapping[str, Collection[str]]) -> str:
    """The page with new blocks. ``visible`` has the names of metrics by library."""
    others = (f"{row.provider} `{row.name}`" for row in rows if row.name != row.provider)
    notes = sorted(f"- **{row.provider}**: {row.note}\n" for row in rows if row.note)
    for mark, block in (
        ("providers", _table(rows)),
        # Names that differ from any-llm's key.
        ("names", f"{', '.join(sorted(others))}.\n"),
        ("notes", "".join(notes)),
        ("ways", _ways(rows)),
        ("visible", _signals(visible)),
    ):
        begin = f"<!-- {mark}: by make -C tests/studies providers -->\n"
        before, _, rest = text.partition(begin)
        _, end, after = rest.partition(f"<!-- /{mark} -->")
        if not end:
            raise ValueError(f"docs/providers.md has no marks of the block {mark}")
        text = before + begin + block + end + after
    return text


def _table(rows: Iterable[Row]) -> str:
    """Providers with the same values share a line, the most common values first."""
    same: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        same.setdefault(_cells(row), []).append(row.provider)
    lines = [f"| {' | '.join(_COLUMNS)} |\n", f"|{'---|' * len(_COLUMNS)}\n"]
    for cells, names in sorted(same.items(), key=lambda item: (-len(item[1]), sorted(item[1]))):
        lines.append(f"| {' | '.join((', '.join(sorted(names)), *cells))} |\n")
    return "".join(lines)


def _cells(row: Row) -> tuple[str, ...]:
    per_call = ", a pool per call" if row.provider in OWN_POOL_PER_CALL else ""
    none = "-" if row.library == "grpc" else "no limit"
    return (
        row.sdk,
        row.library + per_call,
        _bound(row.maximum, "threads" if row.threads else none),
        _bound(row.idle_maximum, none),
        _seconds(row.keepalive_expiry, row),
        _seconds(row.pool_timeout, row),
        _seconds(row.read_timeout, row),
        f"`{advice.keyword(expression)}`" if (expression := _expression(row)) else "-",
    )


def _bound(value: int | None, unlimited: str) -> str:
    return unlimited if value is None else str(value)


def _seconds(value: float | None, row: Row) -> str:
    if value is None:
        return "-" if row.library == "grpc" else "none"
    return f"{value:g} s"


def _expression(row: Row) -> str | None:
    return advice.own(row, N) or advice.configured(row, N)


def _ways(rows: Iterable[Row]) -> str:
    """Advice that several providers share is written once."""
    same: dict[str, list[Row]] = {}
    for row in rows:
        same.setdefault(_way(row).replace(f'"{row.provider}"', '"..."'), []).append(row)
    return "\n".join(
        f"**{', '.join(sorted(row.provider for row in those))}**\n\n{_way(those[0])}\n"
        for those in same.values()
    )


def _way(row: Row) -> str:
    whole = advice.of(row, N)
    expression = _expression(row)
    if expression is None:
        return _sentence(whole.replace(f"any-llm's {row.provider} provider", "any-llm's code"))
    _, _, after = whole.partition(expression)
    after = after.lstrip(".,; ").removeprefix("since ")
    code = f"```python\n{expression}\n```"
    return f"{code}\n\n{_sentence(after)}" if after else code


def _sentence(text: str) -> str:
    first = text[0] if text.startswith("any-llm") else text[0].upper()
    return f"{first}{text[1:]}."


def _signals(visible: Mapping[str, Collection[str]]) -> str:
    """The metrics that each library lacks, of those that any of them has."""
    libraries = [library for library in semconv.POOL_LIBRARIES if library in visible]
    # One call closes no connection as a rule, so this metric follows from the hooks.
    closing = {
        library
        for adapter in ADAPTERS
        for library in adapter.MODULES.values()
        if "connection_close" in adapter.LOST
    }
    lines = []
    for library in libraries:
        missing = [
            f"`{metric.name}`"
            for metric in semconv.METRICS
            if any(metric.name in names for names in visible.values())
            and metric.name not in visible[library]
            and not (metric is semconv.CONNECTION_CLOSED and library in closing)
        ]
        lines.append(f"- **{library}**: {'all but ' if missing else 'all'}{', '.join(missing)}\n")
    return "".join(lines)

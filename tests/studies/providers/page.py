"""docs/providers.md, from what the census measured."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from opentelemetry.instrumentation.gluellm.adapters import ADAPTERS
from opentelemetry.instrumentation.gluellm.diagnosis.families import OWN_POOL_PER_CALL
from opentelemetry.instrumentation.gluellm.telemetry import semconv

from . import advice
from .rows import Row

NOTICE = "<!-- Written by `make -C tests/studies providers` from a run; edit its source. -->\n"

_HEAD = """
# Providers

**{all} of {all} visible.** None is missing.

`make -C tests/studies providers` builds each provider of any-llm with the SDK that any-llm
installs for it, sends one call to a fake provider on this machine,
asynchronously as any-llm does by default, and writes here
what the metrics and the snapshot reported while the call was in flight. With `ARGS=--check` it
fails where this page differs.

"""
_COLUMNS = (
    "provider|`gen_ai.provider.name`|SDK|library|connections|idle|idle for|waits for one|"
    "waits for bytes|set by"
).split("|")
_MEANING = """
- *provider* is any-llm's key. It is the pool's name, `gluellm.pool.name`, as well.
- *library* is `gluellm.pool.library`; [what is visible](#what-is-visible) depends on it.
- *connections* and *idle* are the limits in effect, `gluellm.pool.connection.max` and `.idle.max`.
  Both are left out of the metrics where there is none.
- *idle for* is how long an idle connection is kept, *waits for one* the pool timeout, *waits for
  bytes* the read timeout. aiohttp has no pool timeout of its own: what is told is the shortest of
  its timeouts that covers the queue.
- *set by* is the keyword of `AnyLLM.create`, or the function, that sets the limits:
  [how](#how-to-change-the-limits). `configure_pools()` sets them for all but the one on gRPC.
- *a pool per call*: the provider's code builds a client for each call, so a limit bounds one call.

urllib3's pools have no bound: they open what is asked for, and keep no more than *idle* of it. What
bounds these providers is the executor whose threads send the requests: the event loop's default
one, with min(32, CPUs + 4) threads. The snapshot tells them as `threads`, and a full executor is
the finding `executor_full`.

gRPC tells of no connection and of no queue: channels have states, and calls have phases.

Under GlueLLM, openai and anthropic have GlueLLM's limits: see
[connection pooling](connection-pooling.md).
"""
_CHANGE_HEAD = """
## How to change the limits

For pools that any-llm builds, on every library that has the limit:

```python
from opentelemetry.instrumentation.gluellm.limits import configure_pools

configure_pools(max_connections=50)
configure_pools(provider="groq", max_connections=20)
```

Each provider's own way follows, as `diagnose()` advises it. The same command builds each provider
as it is written here, makes a call, and checks that the limit is in effect and the timeouts are
unchanged.
"""
_VISIBLE_HEAD = """
## What is visible

The metrics that have something to tell of one call, by library. What is missing the library does
not know. The log, the spans and the findings rest on the same events. Metrics of the process are
not in this table.
"""
N = "N"
"""Stands for a number in what is written."""


def page(rows: Sequence[Row], visible: Mapping[str, Collection[str]]) -> str:
    """The whole page. ``visible`` has the names of metrics by library."""
    return "".join(
        (
            NOTICE,
            _HEAD.format(all=len(rows)),
            f"| {' | '.join(_COLUMNS)} |\n",
            f"|{'---|' * len(_COLUMNS)}\n",
            *(_line(row) for row in sorted(rows, key=lambda row: row.provider)),
            _MEANING,
            _notes(rows),
            _CHANGE_HEAD,
            _ways(rows),
            _VISIBLE_HEAD,
            _signals(visible),
        )
    )


def _line(row: Row) -> str:
    per_call = ", a pool per call" if row.provider in OWN_POOL_PER_CALL else ""
    none = "-" if row.library == "grpc" else "no limit"
    cells = (
        row.provider,
        f"`{row.name}`",
        row.sdk,
        row.library + per_call,
        _bound(row.maximum, "threads" if row.threads else none),
        _bound(row.idle_maximum, none),
        _seconds(row.keepalive_expiry, row),
        _seconds(row.pool_timeout, row),
        _seconds(row.read_timeout, row),
        _set_by(row),
    )
    return f"| {' | '.join(cells)} |\n"


def _bound(value: int | None, otherwise: str) -> str:
    return otherwise if value is None else str(value)


def _seconds(value: float | None, row: Row) -> str:
    if value is None:
        return "-" if row.library == "grpc" else "for ever"
    return f"{value:g} s"


def _set_by(row: Row) -> str:
    expression = _expression(row)
    return f"`{advice.keyword(expression)}`" if expression else "-"


def _expression(row: Row) -> str | None:
    return advice.own(row, N) or advice.configured(row, N)


def _notes(rows: Iterable[Row]) -> str:
    notes = [f"- **{row.provider}**: {row.note}\n" for row in rows if row.note]
    return "\n## Notes\n\n" + "".join(sorted(notes))


def _ways(rows: Iterable[Row]) -> str:
    """What is the same for several providers is written once."""
    same: dict[str, list[Row]] = {}
    for row in rows:
        same.setdefault(_way(row).replace(f'"{row.provider}"', '"..."'), []).append(row)
    return "".join(
        f"\n**{', '.join(sorted(row.provider for row in those))}**\n\n{_way(those[0])}\n"
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
    libraries = [library for library in semconv.POOL_LIBRARIES if library in visible]
    closing = {
        library
        for adapter in ADAPTERS
        for library in adapter.MODULES.values()
        if "connection_close" in adapter.LOST
    }
    lines = [f"\n| metric | {' | '.join(libraries)} |\n", f"|---|{'---|' * len(libraries)}\n"]
    for metric in semconv.METRICS:
        # One call closes no connection, as a rule, so that one is told by what can be told.
        closed = metric is semconv.CONNECTION_CLOSED
        there = [
            library in closing if closed else metric.name in visible[library]
            for library in libraries
        ]
        if any(there):
            marks = " | ".join("yes" if yes else "-" for yes in there)
            lines.append(f"| `{metric.name}` | {marks} |\n")
    return "".join(lines)

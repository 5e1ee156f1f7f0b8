"""Calls and pools as text: blocks for a terminal, a line of each for logs and pipes.

Both have the same parts in the same order, with the verdict first. Quantiles of waits are estimates
from the buckets of a histogram and are marked with ``~``; their mean is exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from rich.text import Text

from opentelemetry.instrumentation.gluellm.telemetry.semconv import (
    OUTCOMES,
    PHASES,
    POOL_LIBRARIES,
    STAGES,
)
from opentelemetry.instrumentation.gluellm.text import counted

from .histogram import Histogram
from .text import percent, printable, printable_ends, seconds
from .view import CallsView, Key, PoolKey, PoolView, Row, View

_STYLES = ("red", "yellow", "magenta", "blue", "green", "bright_black")
PHASE_MARKS = dict(zip(PHASES, zip("█▞▚▒░▓", _STYLES, strict=True), strict=True))
"""Mark and style of each phase in the bar of times; the marks differ where there is no colour."""
_LABEL = 13
_NARROW = 100
_VISIBLE_SHARE = 0.015
_ALERTING = ("verdict", "leaks", "silent", "errors")


def row_label(key: Key) -> str:
    if isinstance(key, PoolKey):
        return f"{printable_ends(key.name)}/{printable(key.library)}"
    return f"calls to {printable_ends(key.provider)} ({printable(key.source)})"


def wait_texts(wait: Histogram) -> list[str]:
    """Estimated p50, p95 and p99 of the wait for a connection."""
    texts = []
    for share in (0.5, 0.95, 0.99):
        value, beyond = wait.quantile(share) or (math.nan, False)
        mark = ">" if beyond else "~" if value else ""
        texts.append("-" if math.isnan(value) else f"{mark}{seconds(value)}")
    return texts


def counts_text(counts: Mapping[str, int]) -> str:
    """``read 3, pool 2``, the largest first; ``none`` if all are 0."""
    found = sorted((item for item in counts.items() if item[1]), key=lambda item: -item[1])
    return ", ".join(f"{printable(name)} {number}" for name, number in found) or "none"


def view_lines(view: View) -> Iterator[str]:
    """One line for the calls of each provider, and for each pool that has or had a request."""
    for key, row in view.busy().rows():
        yield row_line(key, row, view.verdict(key))
    yield from health_lines(view)


def health_lines(view: View) -> list[str]:
    """What is observed, and reasons to doubt it: missing hooks and own failures."""
    lines = []
    observed = [name for name in view.missing_hooks if name in POOL_LIBRARIES]
    if observed:
        lines.append(f"Observed libraries: {', '.join(observed)}.")
    if any(view.missing_hooks.values()):
        missing = counts_text(view.missing_hooks)
        lines.append(f"Missing hooks, listed in the program's log: {missing}.")
    if view.own_failures:
        lines.append(f"The instrumentation failed or dropped records {view.own_failures} times.")
    return lines


def _calls_parts(calls: CallsView) -> Iterator[tuple[str, str]]:
    if calls.silent:
        item = f"; longest wait for the next item of a stream: {seconds(calls.silence)}"
        yield "silent", f"{calls.silent}{item if calls.silence else ''}"
    now = (
        f"{calls.by_stage[stage]} {stage} (oldest {seconds(calls.oldest.get(stage, 0.0))})"
        for stage in STAGES
        if calls.by_stage.get(stage)
    )
    yield "calls now", ", ".join(now) or "none"
    yield "time spent", _shares_text({stage: calls.share(stage) for stage in STAGES})
    counts = ((outcome, calls.outcomes[outcome]) for outcome in OUTCOMES)
    ended = ", ".join(f"{count} {outcome}" for outcome, count in counts if count)
    retries = f"; retries {calls.retries}" if calls.retries else ""
    yield "ended", f"{ended or 'none'}{retries}"


def _shares_text(shares: Mapping[str, float]) -> str:
    """The visible shares, the largest first."""
    largest = sorted(((share, name) for name, share in shares.items()), reverse=True)
    visible = (f"{name} {percent(share)}" for share, name in largest if share >= _VISIBLE_SHARE)
    return "  ".join(visible) or "-"


def row_line(key: Key, row: Row, judged: str | None = None) -> str:
    """All numbers of calls or a pool in one line."""
    parts = (f"{label}: {text}" for label, text in _parts(key, row, judged))
    return f"{row_label(key)}: {' | '.join(parts)}"


def row_block(key: Key, row: Row, width: int, judged: str | None = None) -> Text:
    """Several lines about calls or a pool, which do not wrap."""
    bar_width = 16 if width < _NARROW else 40
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(row_label(key), style="bold")
    if isinstance(key, PoolKey) and isinstance(row, PoolView):
        # Hosts that belong to no known provider, such as a gateway's.
        kind, names = (
            ("host", row.hosts) if row.hosts and not row.providers else ("provider", row.providers)
        )
        who = ", ".join(map(printable, sorted(names))) or "unknown"
        text.append(f"  {kind} {who}, library {printable(key.library)}, ", style="dim")
        live = f"live {'channels' if key.of_channels else 'pools'} {row.live}"
        text.append(live, style="bold red" if row.live > 3 else "dim")
    for label, value in _parts(key, row, judged):
        text.append(f"\n {label:<{_LABEL}}", style="dim")
        if isinstance(row, PoolView) and label == "connections":
            active = "red" if row.by_phase.get("queued") else "green"
            cells = [("█", active, row.active), ("▒", "yellow", row.connecting)]
            total = max(row.maximum or 0, row.active + row.idle + row.connecting, 1)
            _append_bar(text, [*cells, ("▓", "blue", row.idle)], total, bar_width)
        elif isinstance(row, PoolView) and label == "time spent":
            shares = [(*mark, row.share(phase)) for phase, mark in PHASE_MARKS.items()]
            visible = [part for part in shares if part[-1] >= _VISIBLE_SHARE]
            _append_bar(text, visible, 1.0, bar_width)
        text.append(value, style="red" if label in _ALERTING else "")
    return text


def _parts(key: Key, row: Row, judged: str | None) -> Iterator[tuple[str, str]]:
    """Labels and texts of everything that is known about calls or a pool."""
    if judged:
        yield "verdict", judged
    if isinstance(row, CallsView):
        yield from _calls_parts(row)
    elif isinstance(key, PoolKey):
        yield from _pool_parts(key, row)
    if any(row.errors.values()):
        yield "errors", counts_text(row.errors)


def _pool_parts(key: PoolKey, pool: PoolView) -> Iterator[tuple[str, str]]:
    if pool.leaks_suspected:
        yield "leaks", f"{pool.leaks_suspected} suspected"
    if key.of_channels:
        yield "channels", counts_text(pool.channels)
    else:
        connecting = f", {pool.connecting} connecting" if pool.connecting else ""
        maximum = "none" if pool.maximum is None else pool.maximum
        of = f" in {pool.live} pools" if pool.live > 1 else ""
        now = f"{pool.active} active, {pool.idle} idle{connecting}"
        yield "connections", f"{now}, max {maximum}{of}"
    if pool.streams_max:
        orphaned = f"{pool.streams_orphaned} orphaned, max {pool.streams_max}"
        yield "HTTP/2", f"{pool.streams_active} streams active, {orphaned}"
    phases = [f"{pool.by_phase[phase]} {phase}" for phase in PHASES if pool.by_phase.get(phase)]
    oldest = f", oldest queued {seconds(pool.oldest_waiter)}" if pool.oldest_waiter else ""
    noun = "calls" if key.of_channels else "requests"
    yield f"{noun} now", f"{', '.join(phases) or 'none'}{oldest}"
    if pool.wait.count or not key.of_channels:  # most gRPC calls don't wait for a ready channel
        mean = "-" if pool.wait.mean is None else seconds(pool.wait.mean)
        p50, p95, p99 = wait_texts(pool.wait)
        yield "queue wait", f"mean {mean}, p50 {p50}, p95 {p95}, p99 {p99}"
    yield "time spent", _shares_text({phase: pool.share(phase) for phase in PHASES})
    reused = f"; {counted(pool.opened, 'connection')} opened, reused {counted(pool.reused, 'time')}"
    finished = f"{pool.requests} {noun}, {pool.failed} with errors"
    yield "finished", finished if key.of_channels else finished + reused


def _append_bar(
    text: Text, parts: Sequence[tuple[str, str, float]], total: float, width: int
) -> None:
    """A bar of marks, each with style and value: at least one cell for each value above 0."""
    left = width
    for mark, style, value in parts:
        share = min(value / total, 1.0) if value > 0 and total > 0 else 0.0
        cells = min(max(1, round(width * share)), left) if share else 0
        text.append(mark * cells, style=style)
        left -= cells
    text.append("·" * left + " ", style="dim")

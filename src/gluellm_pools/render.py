"""The view as something to look at: blocks for a terminal, one line a pool without one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.console import Group, RenderableType
from rich.text import Text

from opentelemetry.instrumentation.gluellm.telemetry.semconv import CHANNEL_STATES, PHASES

from .histogram import Histogram, Quantile
from .text import percent, printable, printable_ends, seconds
from .verdicts import late, reading
from .view import PoolKey, PoolView, View

_PHASE_STYLES = dict(
    zip(PHASES, ("red", "yellow", "magenta", "blue", "green", "bright_black"), strict=True)
)
_LABEL = 13
_NARROW = 100
_VISIBLE_SHARE = 0.015
_SMALL_SHARE = 0.05
"""What is left out first where there is no room for all shares."""
_QUANTILES = (0.5, 0.95, 0.99)


def pool_label(key: PoolKey) -> str:
    return f"{printable_ends(key.name)}/{printable(key.library)}"


def quantile_text(estimate: Quantile | None) -> str:
    if estimate is None:
        return "-"
    return f"{'>' if estimate.beyond else ''}{seconds(estimate.value)}"


def wait_texts(wait: Histogram) -> list[str]:
    """Estimates of p50, p95 and p99 of the wait for a connection."""
    return [quantile_text(wait.quantile(share)) for share in _QUANTILES]


def view_blocks(view: View, width: int) -> RenderableType:
    """A block for each pool."""
    parts: list[RenderableType] = [
        pool_block(key, pool, width, reading(pool, doubtful=late(view)))
        for key, pool in view.pools.items()
    ]
    if not parts:
        parts.append(Text("no pool has served a request yet", style="dim"))
    parts += [Text(printable(line, width), style="yellow") for line in health_lines(view)]
    return Group(*parts)


def view_lines(view: View) -> Iterable[str]:
    """One line for each pool that has or had a request."""
    for key, pool in view.busy().pools.items():
        yield pool_line(key, pool, reading(pool, doubtful=late(view)))
    yield from health_lines(view)


def pool_line(key: PoolKey, pool: PoolView, means: str | None = None) -> str:
    """All about a pool in one line, for logs and pipes; at its end what the numbers mean."""
    return (
        f"{pool_label(key)}: {_now(key, pool)}"
        f" | {_phases_now(pool)}, oldest waiter {seconds(pool.oldest_waiter)}"
        f"{_waits(key, pool)}"
        f" | time: {_shares(pool)}"
        f" | {_served_label(key)}: {_served(key, pool)}"
        f" | timeouts: {counts_text(pool.timeouts)} | {_pools_label(key)}: {pool.live}"
        f"{''.join(f' | {part}' for part in _peculiarities(pool))}"
        f"{f' | means: {means}' if means else ''}"
    )


def pool_summary(key: PoolKey, pool: PoolView) -> str:
    """The most of it in one short line, for where a block has no room: what is cut comes last."""
    parts = _ills(pool)
    if any(pool.timeouts.values()):
        parts.append(f"timeouts {counts_text(pool.timeouts)}")
    parts += [
        _summary_now(key, pool),
        f"now {_phases_now(pool)}",
    ]
    if _tells_waits(key, pool):
        parts.append(f"wait p95 {quantile_text(pool.wait.quantile(0.95))}")
    return f"{pool_label(key)}: {'; '.join(parts)}"


def health_lines(view: View) -> list[str]:
    """What makes the numbers doubtful: blind spots, own failures, a late event loop."""
    lines = []
    if any(view.missing_hooks.values()):
        missing = counts_text(view.missing_hooks)
        lines.append(f"hooks missing, see the program's log for their names: {missing}")
    if view.own_failures:
        lines.append(f"the instrumentation failed or dropped records {view.own_failures} times")
    if late(view):
        lag = f", by up to {seconds(view.loop_lag)}" if view.loop_lag else ""
        share = percent(view.late_share)
        lines.append(f"the event loop was late for {share} of the time{lag}: waits mean little")
    return lines


def counts_text(counts: Mapping[str, int]) -> str:
    """``read 3, pool 2``, the largest first; ``none`` when all are 0."""
    found = sorted((item for item in counts.items() if item[1]), key=lambda item: -item[1])
    return ", ".join(f"{printable(name)} {number}" for name, number in found) or "none"


def pool_block(key: PoolKey, pool: PoolView, width: int, means: str | None = None) -> Text:
    """Several lines about a pool, none of which wraps; the last says what the numbers mean."""
    bar_width = 24 if width < _NARROW else 40
    text = Text(no_wrap=True, overflow="ellipsis")
    provider = ", ".join(map(printable, sorted(pool.providers))) or "unknown"
    text.append(pool_label(key), style="bold")
    text.append(f"  provider {provider}, library {printable(key.library)}, ", style="dim")
    live_style = "bold red" if pool.live > 3 else "dim"
    text.append(f"live {_pools_label(key)} {pool.live}\n", style=live_style)

    if key.of_channels:
        _label(text, "channels")
        broken = pool.channels.get("transient_failure", 0) > 0
        text.append(f"{_channels(pool)}\n", style="red" if broken else "")
    else:
        _label(text, "connections")
        _connection_bar(text, pool, bar_width)
        connecting = f", {pool.connecting} connecting" if pool.connecting else ""
        text.append(f" {pool.active} active, {pool.idle} idle{connecting}, max {_maximum(pool)}\n")

    _label(text, "calls now" if key.of_channels else "requests now")
    text.append(f"{_phases_now(pool)}\n")

    waiting = pool.oldest_waiter > 0
    if _tells_waits(key, pool):
        _label(text, "wait (est.)")
        p50, p95, p99 = wait_texts(pool.wait)
        text.append(f"p50 {p50}  p95 {p95}  p99 {p99}  ")
    else:
        _label(text, "wait")
    text.append(f"oldest waiter {seconds(pool.oldest_waiter)}\n", style="red" if waiting else "")

    _label(text, "time spent")
    time_width = bar_width if width >= _NARROW else 10
    _time_bar(text, pool, time_width)
    text.append(f" {_shares(pool, width - _LABEL - 2 - time_width)}\n")

    _label(text, _served_label(key))
    text.append(f"{_served(key, pool)}   timeouts: ")
    timeouts = counts_text(pool.timeouts)
    text.append(timeouts, style="" if timeouts == "none" else "red")
    errors = {name: n for name, n in pool.errors.items() if not name.endswith("_timeout")}
    if any(errors.values()):
        text.append("   errors: ")
        text.append(counts_text(errors), style="red")
    peculiarities = _peculiarities(pool)
    if peculiarities:
        text.append("\n")
        _label(text, "besides")
        text.append(", ".join(peculiarities), style="bold red" if _ills(pool) else "")
    if means:
        text.append("\n")
        _label(text, "means")
        text.append(means, style="red")
    return text


def _peculiarities(pool: PoolView) -> list[str]:
    """What only some pools have: leaks, HTTP/2 streams."""
    parts = []
    if pool.leaks_suspected:
        parts.append(f"leaks suspected {pool.leaks_suspected}")
    if pool.streams_max:
        parts.append(
            f"HTTP/2 streams {pool.streams_active} active and {pool.streams_orphaned} orphaned "
            f"of {pool.streams_max}"
        )
    return parts


def _ills(pool: PoolView) -> list[str]:
    """What is wrong whatever the load is."""
    ills = [f"leaks suspected {pool.leaks_suspected}"] if pool.leaks_suspected else []
    if pool.streams_orphaned:
        ills.append(f"HTTP/2 streams orphaned {pool.streams_orphaned}")
    return ills


def _now(key: PoolKey, pool: PoolView) -> str:
    if key.of_channels:
        return f"channels {_channels(pool)}"
    return f"active {pool.active}, idle {pool.idle}, max {_maximum(pool)}"


def _tells_waits(key: PoolKey, pool: PoolView) -> bool:
    """Of gRPC's calls, only those that wait for a ready channel have a time queued."""
    return not key.of_channels or pool.wait.count > 0


def _waits(key: PoolKey, pool: PoolView) -> str:
    if not _tells_waits(key, pool):
        return ""
    p50, p95, p99 = wait_texts(pool.wait)
    return f" | wait (estimated) p50 {p50} p95 {p95} p99 {p99}"


def _summary_now(key: PoolKey, pool: PoolView) -> str:
    if key.of_channels:
        return f"channels {_channels(pool)}"
    of = "" if pool.maximum is None else f" of {pool.maximum}"
    return f"{pool.active}{of} active"


def _channels(pool: PoolView) -> str:
    """``1 ready, 2 idle``: gRPC channels by state. What their connections do, they don't tell."""
    states = [*reversed(CHANNEL_STATES[:3]), *CHANNEL_STATES[3:]]
    now = [f"{pool.channels[state]} {state}" for state in states if pool.channels.get(state)]
    return ", ".join(now) or "none"


def _pools_label(key: PoolKey) -> str:
    return "channels" if key.of_channels else "pools"


def _served_label(key: PoolKey) -> str:
    return "calls" if key.of_channels else "connections"


def _served(key: PoolKey, pool: PoolView) -> str:
    if key.of_channels:
        return f"{pool.requests} over, {pool.failed} failed"
    return f"{pool.opened} opened; {pool.reused} requests on open ones"


def _label(text: Text, label: str) -> None:
    text.append(f" {label:<{_LABEL}}", style="dim")


def _connection_bar(text: Text, pool: PoolView, width: int) -> None:
    """The bar's whole length is the maximum; without one it is what is open now."""
    total = max(pool.maximum or 0, pool.active + pool.idle + pool.connecting, 1)
    cells = _cells((pool.active, pool.connecting, pool.idle), total, width)
    text.append("█" * cells[0], style="red" if pool.by_phase.get("queued") else "green")
    text.append("▒" * cells[1], style="yellow")
    text.append("▓" * cells[2], style="blue")
    text.append("·" * (width - sum(cells)), style="dim")


def _time_bar(text: Text, pool: PoolView, width: int) -> None:
    spent = [pool.seconds_by_phase.get(phase, 0.0) for phase in PHASES]
    cells = _cells(spent, sum(spent), width)
    for phase, count in zip(PHASES, cells, strict=True):
        text.append("█" * count, style=_PHASE_STYLES[phase])
    text.append("·" * (width - sum(cells)), style="dim")


def _cells(values: Iterable[float], total: float, width: int) -> list[int]:
    """Cells of a bar for each value: never more than the width, and at least one if above 0."""
    cells: list[int] = []
    for value in values:
        share = min(value / total, 1.0) if total > 0 else 0.0
        wanted = max(1, round(width * share)) if value > 0 and total > 0 else 0
        cells.append(min(wanted, width - sum(cells)))
    return cells


def _maximum(pool: PoolView) -> str:
    return "none" if pool.maximum is None else str(pool.maximum)


def _phases_now(pool: PoolView) -> str:
    now = [f"{pool.by_phase[phase]} {phase}" for phase in PHASES if pool.by_phase.get(phase)]
    return ", ".join(now) or "none"


def _shares(pool: PoolView, room: int | None = None) -> str:
    """Shares of time in the order of the phases; without room for all, the large ones first."""
    shares = [(phase, pool.share(phase)) for phase in PHASES]
    shown = _share_texts(found for found in shares if found[1] >= _VISIBLE_SHARE)
    if room is not None and len(shown) > room:
        large = [found for found in shares if found[1] >= _SMALL_SHARE]
        shown = _share_texts(large)
        if len(shown) > room:
            shown = _share_texts(sorted(large, key=lambda found: -found[1]))
    return shown or "-"


def _share_texts(shares: Iterable[tuple[str, float]]) -> str:
    return "  ".join(f"{phase} {percent(share)}" for phase, share in shares)

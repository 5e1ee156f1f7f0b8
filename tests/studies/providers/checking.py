"""The checks of each provider. Each check adds its failures to a list."""

from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import partial
from typing import Any

import any_llm

from opentelemetry.instrumentation.gluellm.limits import reset_pools
from opentelemetry.instrumentation.gluellm.providers import has_limit, libraries_of
from opentelemetry.instrumentation.gluellm.telemetry import semconv

from . import advice
from .calls import OTHER_CALLS, call_sync
from .rows import BY_PROVIDER, ROWS, Row
from .seeing import Fakes, Points, Seen, measured, see

Check = Callable[[Fakes, "Faults"], None]
_SECOND_POOLS = (
    ("deepseek", "messages", (1000, 100)),
    ("meta", "messages", (1000, 100)),
    ("otari", "stream", (100, 20)),
)
"""Providers with a second pool, of httpx, the method that uses it, and its limits."""
_SYNC = ("openai", "groq", "azure", "bedrock", "xai")
"""A provider for each library."""
_WITHOUT_ADVICE = {"lmstudio", "voyage", "watsonx", "xai"}


class Faults(list[str]):
    """The failures of a check."""

    def compare(self, what: str, found: object, expected: object) -> None:
        """Add a failure if a value is not the expected one."""
        if found != expected:
            self.append(f"{what} {found!r}, expected {expected!r}")

    def ensure(self, holds: object, what: str) -> None:
        """Add a failure if a condition is false."""
        if not holds:
            self.append(what)


def checks() -> Iterator[tuple[str, str, Check]]:
    """All checks besides the census, each with its provider and its description."""
    for provider, method, limits in _SECOND_POOLS:
        yield provider, f"second pool, of {method}", partial(_second_pool, provider, method, limits)
    for provider in _SYNC:
        yield provider, "sync call", partial(_sync_call, BY_PROVIDER[provider])
    for row in ROWS:
        for kind, advised in (("own", advice.own(row)), ("configured", advice.configured(row))):
            if advised:
                yield row.provider, f"advice: {advised}", partial(_advised, row, kind, advised)


def table(faults: Faults) -> None:
    """The rows are any-llm's providers, and agree with the package's own table."""
    supported = set(any_llm.AnyLLM.get_supported_providers())
    faults.compare("providers that differ", set(BY_PROVIDER) ^ supported, set())
    faults.compare("rows", len(ROWS), len(BY_PROVIDER))
    for row in ROWS:
        first, *_ = libraries_of(row.provider)
        faults.compare(f"{row.provider}: library", first.name.lower(), row.library)
        bounded = row.maximum is None or has_limit(row.provider, "max_connections")
        faults.ensure(bounded, f"{row.provider}: has a limit that configure_pools() doesn't know")
    silent = {row.provider for row in ROWS if not (advice.own(row) or advice.configured(row))}
    faults.compare("providers without advice", silent, _WITHOUT_ADVICE)


def census(row: Row, seen: Seen, faults: Faults) -> Row:
    """Check library, limits in effect and timeouts, by snapshot and by metrics."""
    found = measured(row, seen)
    for field in fields(Row):
        faults.compare(field.name, getattr(found, field.name), getattr(row, field.name))
    _check_snapshot(seen, row, faults)
    _check_metrics(seen, row, faults)
    return found


def _second_pool(
    provider: str, method: str, limits: tuple[int, int], fakes: Fakes, faults: Faults
) -> None:
    seen = see(BY_PROVIDER[provider], fakes, make_call=OTHER_CALLS[method])
    (pool,) = seen.calling()
    faults.compare("pool", (pool.name, pool.library), (provider, "httpx"))
    faults.compare("limits", (pool.max_connections, pool.max_idle_connections), limits)


def _sync_call(row: Row, fakes: Fakes, faults: Faults) -> None:
    """any-llm runs the call on a loop of its own; the pool is reported in the same way."""
    _check_snapshot(see(row, fakes, make_call=call_sync), row, faults)


def _advised(row: Row, kind: str, advised: str, fakes: Fakes, faults: Faults) -> None:
    """The advised limit is in effect, and the timeouts are the SDK's own."""
    try:
        seen = see(row, fakes, build=lambda origin: advice.follow(row, origin, advised))
    finally:
        reset_pools()
    (pool,) = seen.calling()
    # urllib3 limits idle connections only, except in a pool that makes requests wait.
    limit = pool.max_idle_connections if row.library == "urllib3" else pool.max_connections
    faults.compare("limit", limit, advice.SIZE)
    faults.compare("pool timeout", pool.pool_timeout, row.pool_timeout)
    faults.compare("read timeout", pool.read_timeout, row.read_timeout)
    faults.compare("reported source of limits", pool.limits_from is not None, kind == "configured")
    if kind == "configured":
        faults.compare("library", pool.library, row.library)
        faults.compare("keep-alive", pool.keepalive_expiry, row.keepalive_expiry)


def _check_snapshot(seen: Seen, row: Row, faults: Faults) -> None:
    """Check the snapshot while the provider is asked, and the totals afterwards."""
    assert seen.after is not None
    origin = f"{row.host}:{seen.port}"
    operation = row.operation if row.reports_operation else None
    for pool in seen.calling():
        for what, found, expected in (
            ("name and provider", (pool.name, pool.provider), (row.provider, row.provider)),
            ("limits from", pool.limits_from, None),
            ("has a channel", pool.channel_state is not None, row.library == "grpc"),
            ("origins", {request.origin for request in pool.requests}, {origin}),
            ("operations", {request.operation for request in pool.requests}, {operation}),
            ("protocols", {each.protocol for each in pool.connections}, {row.protocol} - {""}),
        ):
            faults.compare(what, found, expected)
    (total,) = seen.after.snapshot.totals
    reported = (total.name, total.provider, total.library)
    faults.compare("total of", reported, (row.provider, row.provider, row.library))
    entered = {one.origin: one.requests_entered for one in total.origins}
    others = {f"{host}:{seen.port}": 1 for host in row.elsewhere}
    faults.compare("requests entered", entered, {origin: row.requests, **others})
    errors = {outcome.error for one in total.origins for outcome in one.outcomes}
    faults.ensure(errors <= {None, "cancelled"}, f"requests failed: {errors}")


def _check_metrics(seen: Seen, row: Row, faults: Faults) -> None:
    assert seen.after is not None
    pool = {
        semconv.PROVIDER_NAME: row.name,
        semconv.POOL_NAME: row.provider,
        semconv.POOL_LIBRARY: row.library,
    }
    origin = {**pool, semconv.SERVER_ADDRESS: row.host, semconv.SERVER_PORT: seen.port}
    during, after = seen.during.points, seen.after.points
    live = _value(during, semconv.POOL_LIVE, pool) or 0
    faults.ensure(live >= row.calling, f"{live} live pools, at least {row.calling} expected")
    for points, metric, where, expected in (
        (during, semconv.CONNECTION_MAX, pool, row.maximum and live * row.maximum),
        (during, semconv.CONNECTION_IDLE_MAX, pool, row.idle_maximum and live * row.idle_maximum),
        (during, semconv.ACQUIRE_TIMEOUT, pool, row.pool_timeout),
        (during, semconv.ACTIVE_REQUESTS, origin, row.calling),
        (after, semconv.POOL_OPENED, pool, row.pools),
        (after, semconv.REQUESTS, origin, row.requests),
    ):
        faults.compare(metric.name, _value(points, metric, where), expected)
    for name, found in after.items():
        attributes = [dict(point.attributes) for point in found]
        named = [each for each in attributes if semconv.POOL_NAME in each]
        faults.ensure(all(each.items() >= pool.items() for each in named), f"{name} lacks {pool}")


def _value(points: Points, metric: semconv.Metric, where: dict[str, Any]) -> float | None:
    """The sum of a metric's points with these attributes; None where there is none."""
    found = points.get(metric.name, ())
    values = [p.value for p in found if dict(p.attributes).items() >= where.items()]
    return sum(values) if values else None

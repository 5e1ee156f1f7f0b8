"""What diagnose() advises, followed to the letter with the real SDKs: the limit is in effect."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from opentelemetry.instrumentation.gluellm.diagnosis.snapshot import PoolSnapshot
from opentelemetry.instrumentation.gluellm.limits import reset_pools

from . import advice
from .rows import ROWS, Row
from .seeing import Fakes, see

pytestmark = [
    pytest.mark.all_sdks,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # the SDKs' own
]


@pytest.fixture
def unconfigured() -> Iterator[None]:
    """The limits are those of the SDKs again in the end."""
    yield
    reset_pools()


def limit_of(row: Row, pool: PoolSnapshot) -> int | None:
    """The one that is set: urllib3 has no other than on idle connections, but for a pool that
    makes requests wait."""
    return pool.max_idle_connections if row.library == "urllib3" else pool.max_connections


@pytest.mark.parametrize("row", [r for r in ROWS if advice.own(r)], ids=lambda row: row.provider)
def test_providers_own_way(row: Row, fakes: Fakes) -> None:
    """The limit is set, and the timeouts that the SDK would have had are still there."""
    expression = advice.own(row)
    assert expression is not None
    seen = see(row, fakes, build=lambda origin: advice.follow(row, origin, expression))
    (pool,) = seen.calling()
    assert limit_of(row, pool) == advice.SIZE
    assert (pool.pool_timeout, pool.read_timeout) == (row.pool_timeout, row.read_timeout)
    assert pool.limits_from is None


@pytest.mark.parametrize(
    "row", [r for r in ROWS if advice.configured(r)], ids=lambda row: row.provider
)
def test_configured_pools(row: Row, fakes: Fakes, unconfigured: None) -> None:
    """The limit is set, what set it is told, and nothing else has changed."""
    expression = advice.configured(row)
    assert expression is not None
    seen = see(row, fakes, build=lambda origin: advice.follow(row, origin, expression))
    (pool,) = seen.calling()
    assert pool.library == row.library
    assert limit_of(row, pool) == advice.SIZE
    assert (pool.keepalive_expiry, pool.pool_timeout) == (row.keepalive_expiry, row.pool_timeout)
    assert pool.read_timeout == row.read_timeout
    assert pool.limits_from is not None


def test_providers_without_any_way_are_known() -> None:
    """What bounds them then is said in words."""
    without = {row.provider for row in ROWS if not (advice.own(row) or advice.configured(row))}
    assert without == {"lmstudio", "voyage", "watsonx", "xai"}

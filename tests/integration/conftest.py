"""The instrumentation with telemetry in memory."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.installation import in_memory
from support.installation import instrument as turn_on
from support.telemetry import Telemetry

Instrument = Callable[..., Telemetry]


@pytest.fixture
def providers() -> Iterator[Telemetry]:
    """In-memory providers. The instrumentation is off before and after the test."""
    with in_memory() as made:
        yield made


@pytest.fixture
def instrument(providers: Telemetry) -> Instrument:
    """Turn on the instrumentation. Its scope is ``all`` unless the settings differ."""

    def instrument(**settings: Any) -> Telemetry:
        turn_on(providers, **settings)
        return providers

    return instrument


@pytest.fixture
def telemetry(instrument: Instrument) -> Telemetry:
    """Telemetry of the instrumentation with the scope ``all``."""
    return instrument()

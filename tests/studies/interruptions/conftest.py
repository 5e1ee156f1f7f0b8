"""The instrumentation in this process."""

from collections.abc import Iterator

import pytest

from integration.conftest import instrument, providers, telemetry
from opentelemetry.instrumentation.gluellm.attribution.context import current_call

__all__ = ["instrument", "providers", "telemetry"]


@pytest.fixture(autouse=True)
def no_call() -> Iterator[None]:
    """What an interrupted call left in the context has ended. Other tests ask for none at all."""
    yield
    current_call.set(None)

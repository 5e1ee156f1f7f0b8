"""Fixtures that instrument this process."""

from collections.abc import Iterator

import pytest

from integration.conftest import instrument, providers, telemetry
from opentelemetry.instrumentation.gluellm.attribution.context import current_call

__all__ = ["instrument", "providers", "telemetry"]


@pytest.fixture(autouse=True)
def no_call() -> Iterator[None]:
    """Remove an ended call that an interruption left in the context: other tests need none."""
    yield
    current_call.set(None)

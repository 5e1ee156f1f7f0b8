"""What is recorded of a request's context when it enters a pool."""

import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation

from opentelemetry import context
from opentelemetry.instrumentation.gluellm.telemetry.entry import (
    EntryObserver,
    SuppressedContext,
    entry_context,
    suppressed,
)
from unit.pool.fakes import Scene


@pytest.fixture
def scene() -> Scene:
    """A pool whose requests record their context."""
    return Scene(EntryObserver(), entry_context=entry_context())


def test_suppressed_request_makes_no_spans(scene):
    """The API's key and the older plain key suppress. The request is counted."""
    assert not suppressed()
    with suppress_instrumentation():
        assert suppressed()
        lease = scene.enter()
        assert isinstance(lease.observed, SuppressedContext)
        assert not lease.observed.is_valid
        assert not lease.accounted
    for value in (True, False):
        token = context.attach(context.set_value("suppress_instrumentation", value))
        assert suppressed() is isinstance(scene.enter().observed, SuppressedContext) is value
        context.detach(token)

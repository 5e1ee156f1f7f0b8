"""Signal handlers that raise while the instrumentation starts a thread."""

from collections.abc import Callable
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.adapters.grpc.sampling import Sampler
from opentelemetry.instrumentation.gluellm.failures import Failures
from opentelemetry.instrumentation.gluellm.watch.watch import Watch
from unit.pool.fakes import Scene

from .interruption import assert_reached, everywhere, raising
from .test_requests import TimeIsUpError, everywhere_in_our_code

pytestmark = everywhere_in_our_code


class Waiting:
    """A channel that a call waits for, as the sampler sees it."""

    waiting = True


def of_watch() -> tuple[Any, Callable[[], None]]:
    """The watch of pools, and a function that starts its thread."""
    registry = Scene().registry
    watch = Watch(registry, leak_threshold=60, loop_lag=None)
    watch.start()
    return watch, registry.attend


def of_sampler() -> tuple[Any, Callable[[], None]]:
    """The sampler of gRPC's channels, and a function that starts its thread."""
    sampler = Sampler(Failures(), lambda: 0)
    channel: Any = Waiting()
    return sampler, lambda: sampler.watch(channel, lambda _: True)


@pytest.mark.parametrize("made", [of_watch, of_sampler])
def test_interrupted_start_of_a_thread_can_be_repeated(made):
    """The exception reaches the program, and the next request starts the thread."""
    for interruption in everywhere(raising(TimeIsUpError)):
        owner, start = made()
        assert_reached(interruption, TimeIsUpError, start)
        start()
        assert owner._thread.current is not None, interruption.place
        assert owner._thread.current.is_alive(), interruption.place
        owner.stop()

"""Failures come out of foreign functions, whose frames can hold anything."""

from __future__ import annotations

import gc
import weakref
from typing import Any

from opentelemetry.instrumentation.gluellm.adapters.httpcore.responses import reads_as_known
from opentelemetry.instrumentation.gluellm.pool.guard import Failures, from_signal_handler


def test_function_that_has_reused_the_name_of_its_arguments() -> None:
    """It may put anything there: the failure is counted, and nothing is raised."""

    def fail(*args: Any) -> None:
        args = None  # type: ignore[assignment]
        raise ValueError(args)

    failures = Failures()
    try:
        fail(1)
    except Exception as error:
        failures.caught("read", error)
    assert failures.counts == {"read": 1}


def test_exception_without_a_readable_traceback() -> None:
    """A foreign exception's attributes can be properties that raise."""

    class OddError(Exception):
        @property
        def __traceback__(self) -> Any:
            raise RuntimeError

    assert not from_signal_handler(OddError())


def test_kind_of_network_stream_is_not_kept() -> None:
    """Once nobody has its ``read`` any more."""

    class Kind:
        pass

    def made(kind: Kind) -> Any:
        def read(self: Any, max_bytes: int, timeout: float | None = None) -> Any:
            return kind

        return read

    read = made(Kind())
    gone = weakref.ref(read.__closure__[0].cell_contents)
    assert reads_as_known(read, False)
    assert reads_as_known(read, False)
    del read
    gc.collect()
    assert gone() is None


def test_read_that_can_not_be_hashed() -> None:
    """It is looked at each time."""

    class Reads:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self, stream: Any, max_bytes: int, timeout: float | None = None) -> Any: ...

    assert reads_as_known(Reads(), False)
    assert reads_as_known(Reads(), True)

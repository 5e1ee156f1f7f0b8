"""Times are right for connections whose set-up cannot be observed."""

import logging
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.script import Reply

from .conftest import BOTH

pytestmark = BOTH

HEAD_AFTER = 0.1


class _Slotted:
    """A network stream that does not allow new attributes."""

    __slots__ = ("_stream",)

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        read: bytes = self._stream.read(max_bytes, timeout)
        return read

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Backend:
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def connect_tcp(self, *args: Any, **kwargs: Any) -> _Slotted:
        return _Slotted(self._inner.connect_tcp(*args, **kwargs))


def test_times_are_right_for_a_stream_without_new_attributes(library, server, instrument, caplog):
    """Set-up and response wait are separate for the application's own network backend.

    The set-up once ended with the first response, which made the response wait negative. The SDK
    rejected it with a warning in the application's log.
    """
    telemetry = instrument(metrics="full")
    backend = _Backend(library.core.SyncBackend())
    with library.core.ConnectionPool(network_backend=backend) as pool:
        pool.request("GET", server.reply("/slow", Reply(head_after=HEAD_AFTER)))
        assert telemetry.count(semconv.RESPONSE_WAIT_DURATION) == 1
    assert telemetry.total(semconv.RESPONSE_WAIT_DURATION) >= HEAD_AFTER
    assert telemetry.count(semconv.CONNECTION_CREATE_DURATION) == 1
    waited = telemetry.total(semconv.RESPONSE_WAIT_DURATION)
    created = telemetry.total(semconv.CONNECTION_CREATE_DURATION)
    leased = telemetry.total(semconv.LEASE_DURATION)
    assert waited + created <= leased
    assert _warnings(caplog) == []


def _warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the SDK's warnings."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING and record.name.startswith("opentelemetry.sdk")
    ]

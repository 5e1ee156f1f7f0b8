"""Ctrl-C does not wait for a body that is being decoded."""

import asyncio
import threading

from gluellm_pools.watch import receiver as module
from gluellm_pools.watch.decoding import Encoding, Signal
from gluellm_pools.watch.intake import Intake
from gluellm_pools.watch.notes import Notes
from gluellm_pools.watch.processes import Processes
from gluellm_pools.watch.receiver import Receiver
from gluellm_pools.watch.routes import Route

ROUTE = Route(Signal.METRICS, Encoding.PROTOBUF, "")


def test_the_end_does_not_wait_for_a_body_that_is_being_decoded(monkeypatch):
    """A large one takes seconds."""
    began, proceed, ended = threading.Event(), threading.Event(), threading.Event()

    def decode_slowly(*_: object) -> None:
        began.set()
        proceed.wait(5)
        ended.set()

    monkeypatch.setattr(module, "decode", decode_slowly)

    async def interrupted() -> None:
        taking = asyncio.create_task(Receiver(Intake(Processes()), Notes()).take(ROUTE, b""))
        assert await asyncio.to_thread(began.wait, 5)
        taking.cancel()

    asyncio.run(interrupted())
    assert not ended.is_set()
    proceed.set()
    assert ended.wait(5)

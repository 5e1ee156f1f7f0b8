"""Context variables with the calls that the running code belongs to."""

from __future__ import annotations

import asyncio
import sys
from contextvars import ContextVar

from ..pool.call import Call, CountedCall
from ..vocabulary import SDK

CallVariable = ContextVar[Call | None]

current_call: CallVariable = ContextVar("gluellm_current_call", default=None)
"""The current call, to which requests and newly built pools are attributed.

Tasks started inside a call copy the context and can outlive the call. So a call is marked ``ended``
when it is over, and an ended call claims nothing.
"""

NO_CALL = Call("", ended=True)
"""The current call while an SDK sends a request that calls no model: a file, a batch, a poll.

It claims nothing, since it has ended, and the request is no call of source ``http`` either.
"""

current_counted: ContextVar[CountedCall | None] = ContextVar("gluellm_counted_call", default=None)
"""The counted call to which any-llm calls belong, while GlueLLM makes them or any-llm builds their
client."""


def counted_call() -> CountedCall | None:
    """Return the counted call in which the current code runs, if any."""
    call = current_call.get()
    counted = current_counted.get() if call is None or call.ended else call.counted
    return None if counted is None or counted.ended_at else counted


_WAITS_IN_OWN_TASK = sys.version_info >= (3, 12)
"""Whether `asyncio.wait_for`, which GlueLLM uses, awaits a coroutine in its caller's own task.

No SDK uses it within a call.
"""


def outer_call() -> CountedCall | None:
    """Return the counted call to which a new call belongs, if any."""
    counted = counted_call()
    return None if counted is None or is_spawned(counted) else counted


def is_spawned(counted: CountedCall) -> bool:
    """Return whether the current code runs in another task than the call, on the same loop.

    Such a task was spawned inside the call. A call can also continue on another loop or thread,
    which is not a spawned task.
    """
    if counted.task is None or not (_WAITS_IN_OWN_TASK or counted.source == SDK):
        return False
    loop, task = asyncio._get_running_loop(), counted.task
    return id(loop) == task[0] and id(asyncio.current_task(loop)) != task[1]

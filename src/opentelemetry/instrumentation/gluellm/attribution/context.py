"""Context variables with the calls that the running code belongs to."""

from __future__ import annotations

from contextvars import ContextVar

from ..pool.call import Call, CountedCall

CallVariable = ContextVar[Call | None]

current_call: CallVariable = ContextVar("gluellm_current_call", default=None)
"""The current call, to which requests and newly built pools are attributed.

Tasks started inside a call copy the context and can outlive the call. So a call is marked ``ended``
when it is over, and an ended call claims nothing.
"""

current_counted: ContextVar[CountedCall | None] = ContextVar("gluellm_counted_call", default=None)
"""The call of the application that any-llm calls are a part of, while GlueLLM makes them or any-llm
builds their client."""


def counted_call() -> CountedCall | None:
    """Return the call of the application that the running code is a part of, if any."""
    call = current_call.get()
    counted = current_counted.get() if call is None or call.ended else call.counted
    return None if counted is None or counted.ended else counted

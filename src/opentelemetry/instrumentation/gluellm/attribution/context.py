"""Context variable with the any-llm call that the running code belongs to."""

from __future__ import annotations

from contextvars import ContextVar

from ..pool.call import Call

CallVariable = ContextVar[Call | None]

current_call: CallVariable = ContextVar("gluellm_current_call", default=None)
"""The current call, to which requests and newly built pools are attributed.

Tasks started inside a call copy the context and can outlive the call. So a call is marked ``ended``
when it is over, and an ended call claims nothing.
"""

"""The context variable that says which any-llm call the running code belongs to."""

from __future__ import annotations

from contextvars import ContextVar

from ..pool.lease import Call

CallVariable = ContextVar[Call | None]

current_call: CallVariable = ContextVar("gluellm_current_call", default=None)
"""The call that requests belong to and that claims the pools built inside it.

A context is copied into every task that is started inside a call, and such a task can outlive the
call by far. So the value is marked ``ended`` when its call is over, and an ended call claims
nothing.
"""

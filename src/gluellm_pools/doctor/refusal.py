"""What the doctor says when it can't do what it is asked for."""

from __future__ import annotations

from .. import arguments


def refuse(message: str, status: int = arguments.EXIT_USAGE) -> int:
    """Say why it can't be done; the exit status to end with."""
    return arguments.refuse("gluellm-pools doctor", message, status)

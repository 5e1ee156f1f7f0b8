"""What the doctor says when it can't do what it is asked for."""

from __future__ import annotations

import sys

EXIT_USAGE = 2


def refuse(message: str, status: int = EXIT_USAGE) -> int:
    """Say why it can't be done; the exit status to end with."""
    print(f"gluellm-pools doctor: {message}", file=sys.stderr)
    return status

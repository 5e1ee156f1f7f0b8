"""Warnings of ours, told so that a log which fails costs the warning and nothing else."""

from __future__ import annotations

import logging
from typing import Any

from .guard import raise_on

_logger = logging.getLogger("opentelemetry.instrumentation.gluellm")


def warn(message: str, *arguments: Any, level: int = logging.WARNING) -> None:
    """Log a message. A filter, a record factory or a handler of the application may raise in there.

    Raises what a signal handler raises, and nothing else that is an Exception.
    """
    try:
        _logger.log(level, message, *arguments, stacklevel=2)
    except Exception as error:
        raise_on(error)

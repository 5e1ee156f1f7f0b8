"""What people are told in the log. Nothing here is reached by a finalizer."""

from __future__ import annotations

import logging

from ..pool.guard import Failures
from ..pool.seams import Seams
from .semconv import SCOPE_NAME

_logger = logging.getLogger(SCOPE_NAME)
_told: set[tuple[str, str, str]] = set()


def warn_of_missing_seams(seams: Seams) -> None:
    """One WARNING for each seam that the installed version lacks, once per process."""
    for seam, works in seams.found.items():
        key = (seams.library, seams.version, seam)
        if works or key in _told:
            continue
        _told.add(key)
        _logger.warning(
            "%s (version %s of its core) lacks the seam %r, so this is not observed: %s. "
            "Requests are not affected.",
            seams.library,
            seams.version,
            seam,
            seams.signals.get(seam, seam),
        )


def warn_of_failures(failures: Failures) -> None:
    """One WARNING for each kind of own failure, with the exception's type and not its message."""
    for kind, error in failures.unreported():
        _logger.warning(
            "the instrumentation failed in %s with %s and went on without; counted in "
            "gluellm.instrumentation.errors. Requests are not affected.",
            kind,
            error,
        )

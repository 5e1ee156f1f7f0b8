"""Which signals the installed version of a library lets us have."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Seams:
    """Which seams of one library work in the installed version."""

    library: str
    """The value of ``gluellm.pool.library``."""
    version: str
    """The distribution that was looked at, with its version, in words."""
    found: dict[str, bool] = field(default_factory=dict)
    signals: dict[str, str] = field(default_factory=dict)
    """What is lost without the seam, in words for a warning."""

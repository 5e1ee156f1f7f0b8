"""What is applied to Kubernetes, as files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

FOLDERS: Final[tuple[str, ...]] = ()
"""Where nothing but generated files lies."""


def files() -> Mapping[str, str]:
    """Their texts, by their paths below ``dashboards/``."""
    return {}

"""Where events come from: one adapter for each library that any-llm's providers use."""

from __future__ import annotations

from typing import Final

from .base import Adapter
from .httpcore import HttpcoreAdapter

ADAPTERS: Final[tuple[type[Adapter], ...]] = (HttpcoreAdapter,)

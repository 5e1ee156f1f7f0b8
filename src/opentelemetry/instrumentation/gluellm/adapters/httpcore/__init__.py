"""Pools of httpcore and httpcore2, the ones under httpx and httpx2."""

from .adapter import HttpcoreAdapter
from .clients import any_owned, disown, own, pools_of

__all__ = ["HttpcoreAdapter", "any_owned", "disown", "own", "pools_of"]

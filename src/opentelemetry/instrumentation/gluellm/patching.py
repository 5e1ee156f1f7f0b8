"""Reversible patches of class attributes, applied once per class identity."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_MARK = "__gluellm_patch__"


@dataclass(frozen=True, slots=True)
class _Patch:
    owner: type
    name: str
    replacement: Any
    original: Any
    inherited: bool


class PatchSet:
    """Patches that are undone together.

    A replacement must itself fall through to the original once its installation is gone: where
    someone wrapped our replacement since, it can't be taken out and stays in the call chain.
    """

    def __init__(self) -> None:
        self._patches: list[_Patch] = []

    def wrap(self, owner: type, name: str, make: Callable[[Any], Any]) -> bool:
        """Replace ``owner.name`` by ``make(original)``.

        Returns False, and does nothing, where the attribute is ours already: a class can be
        reached under several names (``httpx2.alias_httpx()`` makes ``httpx`` *be* httpx2).

        Name, docstring and signature of the original are kept, since mocking libraries decide by
        them what they may replace.

        Raises AttributeError when the class has no such attribute.
        """
        original = getattr(owner, name)
        inherited = name not in owner.__dict__
        if not inherited and hasattr(original, _MARK):
            return False
        replacement = functools.wraps(original)(make(original))
        setattr(replacement, _MARK, True)
        setattr(owner, name, replacement)
        self._patches.append(_Patch(owner, name, replacement, original, inherited))
        return True

    def undo(self) -> None:
        """Put the identical originals back, in reverse order, where the attribute is still ours."""
        while self._patches:
            patch = self._patches.pop()
            if patch.owner.__dict__.get(patch.name) is not patch.replacement:
                continue
            if patch.inherited:
                delattr(patch.owner, patch.name)
            else:
                setattr(patch.owner, patch.name, patch.original)

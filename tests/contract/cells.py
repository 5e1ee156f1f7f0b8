"""Which scenario runs for which library, and why it does not where it doesn't.

A scenario is a test of this folder; its key is ``file::function``, or the file's name alone for all
of a file. What is in no list here runs. Each library's reasons stand in a module of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from . import not_for_aiohttp, not_for_grpc, not_for_urllib3

LIBRARIES = ("httpx", "httpx2", "aiohttp", "urllib3", "grpc")
MODES: Mapping[str, tuple[str, ...]] = {
    "httpx": ("sync", "asyncio", "trio"),
    "httpx2": ("sync", "asyncio", "trio"),
    "aiohttp": ("asyncio",),
    "urllib3": ("sync",),
    "grpc": ("sync", "asyncio"),
}
"""The runners that a library's clients can run in."""
NOT_FOR: Mapping[str, Mapping[str, str]] = {
    "aiohttp": not_for_aiohttp.REASONS,
    "urllib3": not_for_urllib3.REASONS,
    "grpc": not_for_grpc.REASONS,
}
"""By library: the scenarios that do not apply to it, each with the reason."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One scenario for one library."""

    modes: tuple[str, ...]
    """The runners that it runs in; none where it does not apply."""
    reason: str = ""
    """Why it does not apply."""


def cell(file: str, function: str, library: str, modes: tuple[str, ...]) -> Cell:
    """Whether a scenario that is for ``modes`` applies to a library."""
    if file.startswith("test_grpc_") and library != "grpc":
        return Cell((), "it is about what only a gRPC channel has")
    if file.startswith("test_urllib3_") and library != "urllib3":
        return Cell((), "it is about what only urllib3 has")
    reasons = NOT_FOR.get(library, {})
    reason = reasons.get(f"{file}::{function}") or reasons.get(file)
    if reason is not None:
        return Cell((), reason)
    common = tuple(mode for mode in modes if mode in MODES[library])
    if not common:
        return Cell((), f"it is about {' and '.join(modes)} clients, and {library} has none")
    return Cell(common)

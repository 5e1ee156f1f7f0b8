"""The HTTP libraries under test, told apart by their modules only."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import Any

Timeouts = dict[str, float]
"""Seconds by ``pool``, ``connect``, ``read`` and ``write``; what is left out waits for ever."""


@dataclass(frozen=True, slots=True)
class Library:
    """A client library and the pool library below it."""

    name: str
    """As in ``gluellm.pool.library``."""
    core: ModuleType
    client: ModuleType

    @classmethod
    def load(cls, name: str) -> Library:
        """``httpx`` on httpcore, or ``httpx2`` on httpcore2."""
        core = importlib.import_module(name.replace("httpx", "httpcore"))
        return cls(name, core, importlib.import_module(name))

    @property
    def assigns_twice(self) -> bool:
        """httpcore 1.0.9 gives one idle connection to several waiters; httpcore2 reserves it."""
        return self.name == "httpx"

    def request(
        self,
        url: str,
        body: bytes = b"",
        headers: tuple[tuple[str, str], ...] = (),
        timeouts: Timeouts | None = None,
    ) -> Any:
        """A request for a pool. Without ``pool.request()`` nothing adds the usual headers."""
        usual = [("Host", url.split("/")[2])]
        if body:
            usual.append(("Content-Length", str(len(body))))
        return self.core.Request(
            "POST" if body else "GET",
            url,
            headers=[*usual, *headers],
            content=body,
            extensions={"timeout": dict(timeouts or {})},
        )

    def timeout(self, timeouts: Timeouts | None) -> Any:
        """The same timeouts for a client."""
        return self.client.Timeout(None, **(timeouts or {}))

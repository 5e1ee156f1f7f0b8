"""Synchronous requests with each library."""

from __future__ import annotations

import contextlib
import importlib
from dataclasses import dataclass
from typing import Any

LIBRARIES = ("httpx2", "urllib3")


@dataclass
class Requesting:
    """A pool that can send requests."""

    library: str
    url: str
    raw: Any = None

    @classmethod
    def of(cls, library: str, url: str, **limits: Any) -> Requesting:
        """Create a pool of this library."""
        made = cls(library, url)
        if library == "urllib3":
            urllib3 = importlib.import_module("urllib3")
            made.raw = urllib3.PoolManager(retries=False, **limits)
        else:
            core = importlib.import_module(library.replace("httpx", "httpcore"))
            made.raw = core.ConnectionPool()
        return made

    def send(self) -> None:
        """Make a request, and read the response at once."""
        if self.library == "urllib3":
            _ = self.raw.request("GET", self.url).data
        else:
            self.raw.request("GET", self.url)

    def stream(self) -> None:
        """Make a request, read the response chunk by chunk, and close it."""
        if self.library == "urllib3":
            response = self.raw.request("GET", self.url, preload_content=False)
            with contextlib.closing(response):
                for _ in response.stream(1):
                    pass
        else:
            with self.raw.stream("GET", self.url) as response:
                for _ in response.iter_stream():
                    pass

    def held(self) -> int:
        """Return the number of requests for which the library holds a connection."""
        return 0 if self.library == "urllib3" else len(self.raw._requests)

    def close(self) -> None:
        """Close the pool."""
        if self.library == "urllib3":
            self.raw.clear()
        else:
            self.raw.close()

"""Plain sync requests of each library in the main thread, and what a library holds of them."""

from __future__ import annotations

import contextlib
import importlib
from dataclasses import dataclass
from typing import Any

LIBRARIES = ("httpx2", "urllib3")


@dataclass
class Requesting:
    """One pool, and a way to send a request through it."""

    library: str
    url: str
    raw: Any = None

    @classmethod
    def of(cls, library: str, url: str, **limits: Any) -> Requesting:
        """A new pool of this library."""
        made = cls(library, url)
        if library == "urllib3":
            urllib3 = importlib.import_module("urllib3")
            made.raw = urllib3.PoolManager(retries=False, **limits)
        else:
            core = importlib.import_module(library.replace("httpx", "httpcore"))
            made.raw = core.ConnectionPool()
        return made

    def send(self) -> None:
        """A whole request, read at once."""
        if self.library == "urllib3":
            _ = self.raw.request("GET", self.url).data
        else:
            self.raw.request("GET", self.url)

    def stream(self) -> None:
        """A whole request, read chunk by chunk and closed."""
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
        """Requests that the library itself keeps a connection for."""
        return 0 if self.library == "urllib3" else len(self.raw._requests)

    def close(self) -> None:
        """Close the pool."""
        if self.library == "urllib3":
            self.raw.clear()
        else:
            self.raw.close()

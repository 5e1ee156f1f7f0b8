"""What the pools of httpcore and httpcore2 see of the current call, at their own seams."""

from __future__ import annotations

import functools
import importlib
from dataclasses import dataclass, field
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.attribution.context import current_call
from opentelemetry.instrumentation.gluellm.pool.lease import Call


@dataclass(frozen=True)
class Seen:
    """One request at the pool: whose it was when it entered."""

    library: str
    host: str
    call: Call | None
    ended: bool

    @property
    def claim(self) -> tuple[str, str | None, str | None] | None:
        if self.call is None or self.ended:
            return None
        return self.call.provider, self.call.model, self.call.operation


@dataclass
class Probe:
    """Records, for as long as the monkeypatch lasts, what enters a pool and who builds one."""

    requests: list[Seen] = field(default_factory=list)
    builders: list[Call | None] = field(default_factory=list)
    """Who was there when a pool was built; None for a pool that nobody claimed."""
    pools: list[Any] = field(default_factory=list)
    """Every pool that was built, so that it can be closed on the loop that it was used on."""

    async def close(self) -> None:
        """Close the pools; to be awaited on the loop of the requests."""
        while self.pools:
            pool = self.pools.pop()
            await pool.aclose() if hasattr(pool, "aclose") else pool.close()

    def attach(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("httpcore", "httpcore2"):
            try:
                module = importlib.import_module(name)
            except ImportError:
                continue
            for pool in (module.AsyncConnectionPool, module.ConnectionPool):
                self._attach(monkeypatch, module.__name__, pool)

    def _attach(self, monkeypatch: pytest.MonkeyPatch, library: str, pool: Any) -> None:
        build = pool.__init__
        asynchronous = hasattr(pool, "handle_async_request")
        name = "handle_async_request" if asynchronous else "handle_request"
        handle = getattr(pool, name)

        @functools.wraps(build)
        def __init__(this: Any, *args: Any, **kwargs: Any) -> None:
            call = current_call.get()
            self.builders.append(None if call is None or call.ended else call)
            self.pools.append(this)
            build(this, *args, **kwargs)

        @functools.wraps(handle)
        def handle_request(this: Any, request: Any) -> Any:
            self._enter(library, request)
            return handle(this, request)

        @functools.wraps(handle)
        async def handle_async_request(this: Any, request: Any) -> Any:
            self._enter(library, request)
            return await handle(this, request)

        monkeypatch.setattr(pool, "__init__", __init__)
        monkeypatch.setattr(pool, name, handle_async_request if asynchronous else handle_request)

    def _enter(self, library: str, request: Any) -> None:
        call = current_call.get()
        ended = call is not None and call.ended
        self.requests.append(Seen(library, request.url.host.decode(), call, ended))

    @property
    def claims(self) -> list[tuple[str, str | None, str | None] | None]:
        return [seen.claim for seen in self.requests]

"""A request that was handed to a library, and how it ended for its client."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from dataclasses import dataclass, field

from support.exchange import Exchange


@dataclass(slots=True)
class Sent:
    """An exchange, and the read of its body if there is one."""

    exchange: Exchange = field(default_factory=Exchange)
    reading: Future[bytes] | None = None

    @property
    def is_over(self) -> bool:
        """Whether the client is done with it."""
        return bool(self.exchange.left)

    @property
    def status(self) -> int | None:
        """The status, if a head has come."""
        return self.exchange.head(0) if self.exchange.answered else None

    @property
    def error(self) -> BaseException | None:
        """The exception that it ended with."""
        if not self.exchange.answered:
            return self.exchange.failure(0)
        if self.reading is None:
            return None
        if self.reading.done() and not self.reading.cancelled():
            return self.reading.exception()
        return asyncio.CancelledError()  # cancelled before the read began, or during it

    def forget_error(self) -> None:
        """Drop the tracebacks of its error: their frames keep pool and connection alive."""
        self.exchange.wait()
        seen: set[int] = set()
        errors: list[object] = [self.error]
        while errors:
            error = errors.pop()
            if isinstance(error, BaseException) and id(error) not in seen:
                seen.add(id(error))
                error.__traceback__ = None
                errors += [error.__cause__, error.__context__]
                errors += [*error.args, *getattr(error, "exceptions", ())]

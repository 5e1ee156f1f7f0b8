"""The interface of a measured client."""

from abc import ABC, abstractmethod

from opentelemetry.instrumentation.gluellm.attribution.context import current_call

from ..exchange import URL
from ..workload import any_llm_call


class Client(ABC):
    """Sends whole requests, one after the other, over one connection."""

    url = URL

    @abstractmethod
    async def send_one(self) -> None:
        """One request, its answer read to its end."""

    @abstractmethod
    async def stream_one(self) -> None:
        """One request whose answer is read chunk by chunk."""

    async def use_pool(self, count: int, **_: bool) -> None:
        """Send ``count`` requests with as little code around the pool as possible."""
        for _ in range(count):
            await self.send_one()

    async def close(self) -> None:  # noqa: B027  most have nothing to do
        """Close the connections, for libraries that warn about open ones."""

    async def send(self, count: int, *, attributed: bool) -> None:
        """Send ``count`` requests; each ``attributed`` one belongs to its own any-llm call."""
        for _ in range(count):
            if attributed:
                token = current_call.set(any_llm_call())
                await self.send_one()
                current_call.reset(token)
            else:
                await self.send_one()

    async def stream(self, count: int, *, attributed: bool) -> None:
        """Send ``count`` requests whose streams are read chunk by chunk."""
        for _ in range(count):
            token = current_call.set(any_llm_call() if attributed else None)
            await self.stream_one()
            current_call.reset(token)

"""What the measurements need of a client."""

from abc import ABC, abstractmethod

from opentelemetry.instrumentation.gluellm.attribution.context import current_call

from ..workload import any_llm_call


class Client(ABC):
    """Sends whole requests, one after the other, over one connection."""

    @abstractmethod
    async def send_one(self) -> None:
        """One request, its answer read to its end."""

    @abstractmethod
    async def stream_one(self) -> None:
        """One request whose answer is read chunk by chunk."""

    async def use_pool(self, count: int) -> None:
        """``count`` requests with as little around the pool as there can be."""
        for _ in range(count):
            await self.send_one()

    async def close(self) -> None:  # noqa: B027  most have nothing to do
        """Let go of the connections, where the library complains of what doesn't."""

    async def send(self, count: int, *, attributed: bool) -> None:
        """``count`` requests; ``attributed`` ones belong to an any-llm call each."""
        for _ in range(count):
            if attributed:
                token = current_call.set(any_llm_call())
                await self.send_one()
                current_call.reset(token)
            else:
                await self.send_one()

    async def stream(self, count: int, *, attributed: bool) -> None:
        """``count`` requests whose streams are read chunk by chunk."""
        for _ in range(count):
            token = current_call.set(any_llm_call() if attributed else None)
            await self.stream_one()
            current_call.reset(token)

"""A fake any-llm with the attributes that the attribution uses."""

import functools
from abc import ABC
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

from opentelemetry.instrumentation.gluellm.attribution.context import current_call


def decorated(function: Any) -> Any:
    """Like any-llm's handle_exceptions."""

    @functools.wraps(function)
    async def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        return await function(self, *args, **kwargs)

    return wrapper


def make() -> ModuleType:
    """A new module with new classes."""

    class FilesMixin:
        @decorated
        async def alist_files(self, *, limit: int | None = None) -> Any:
            return current_call.get()

        @asynccontextmanager
        async def adownload_file(self, file_id: str) -> AsyncIterator[Any]:
            yield current_call.get()

    class AnyLLM(FilesMixin, ABC):
        PROVIDER_NAME: str

        def __init__(self, **kwargs: Any) -> None:
            self.built_by = current_call.get()

        @decorated
        async def acompletion(self, model: str, messages: Any = None, **kwargs: Any) -> Any:
            """Docstring of acompletion."""
            return await self._acompletion(model, **kwargs)

        async def _acompletion(self, model: str, **kwargs: Any) -> Any:
            return current_call.get()

        def completion(self, model: str, **kwargs: Any) -> Any:
            coroutine = self.acompletion(model, **kwargs)
            try:
                coroutine.send(None)
            except StopIteration as done:
                return done.value

        @decorated
        async def aembedding(self, model: str, inputs: Any) -> Any:
            return await self._aembedding(model, inputs)

        async def _aembedding(self, model: str, inputs: Any) -> Any:
            raise NotImplementedError

        async def _amoderation(self, model: str, text: Any) -> Any:
            raise NotImplementedError

        @classmethod
        def create(cls, **kwargs: Any) -> Any:
            return cls(**kwargs)

    class Provider(AnyLLM):
        PROVIDER_NAME = "fake"

        async def _aembedding(self, model: str, inputs: Any) -> Any:
            return current_call.get()

    module = ModuleType("any_llm")
    module.AnyLLM = AnyLLM
    module.FilesMixin = FilesMixin
    module.Provider = Provider
    return module

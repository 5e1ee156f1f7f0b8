"""Sources of events: one adapter for each library that any-llm's providers use."""

from __future__ import annotations

from typing import Final

from .aiohttp import AiohttpAdapter
from .base import Adapter
from .grpc import GrpcAdapter
from .httpcore import HttpcoreAdapter
from .urllib3 import Urllib3Adapter

ADAPTERS: Final[tuple[type[Adapter], ...]] = (
    HttpcoreAdapter,
    AiohttpAdapter,
    Urllib3Adapter,
    GrpcAdapter,
)

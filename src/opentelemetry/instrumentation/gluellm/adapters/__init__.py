"""Sources of events: one adapter for each library whose pools can be observed."""

from __future__ import annotations

from typing import Final

from .aiohttp.adapter import AiohttpAdapter
from .base import Adapter
from .grpc.adapter import GrpcAdapter
from .httpcore.adapter import HttpcoreAdapter
from .urllib3.adapter import Urllib3Adapter

ADAPTERS: Final[tuple[type[Adapter], ...]] = (
    HttpcoreAdapter,
    AiohttpAdapter,
    Urllib3Adapter,
    GrpcAdapter,
)

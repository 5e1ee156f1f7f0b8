"""Exports of the instrumentation itself, recorded in this run, and what bad ways make of them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import httpx
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from support.http1 import HTTP1Server
from support.listener import ServerLoop

Draw = Callable[[st.SearchStrategy[Any]], Any]
_EDGE_BYTES = (0, 1, 0x7F, 0x80, 0xFF, 0x0A, 0x12, 0x1A)


@functools.cache
def exports() -> tuple[bytes, ...]:
    """Three exports of a program that makes requests, fails, and holds a connection."""
    loop = ServerLoop()
    server = HTTP1Server(loop)
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    instrumentor = GlueLLMInstrumentor()
    found = []
    instrumentor.instrument(meter_provider=provider)
    try:
        with httpx.Client(limits=httpx.Limits(max_connections=2), trust_env=False) as client:
            instrumentor.instrument_client(client, "recorded")
            for _ in range(3):
                client.get(server.url("/"))
                data = reader.get_metrics_data()
                assert data is not None
                found.append(encode_metrics(data).SerializeToString())
    finally:
        instrumentor.uninstrument()
        provider.shutdown()
        server.close()
        loop.stop()
    return tuple(found)


@st.composite
def mutated(draw: Draw) -> bytes:
    """A real export with bits flipped, parts cut out, doubled or put in from another."""
    body = bytearray(draw(st.sampled_from(exports())))
    for _ in range(draw(st.integers(1, 8))):
        if not body:
            break
        at = draw(st.integers(0, len(body) - 1))
        end = min(at + draw(st.integers(0, 60)), len(body))
        how = draw(st.sampled_from(("flip", "edge", "cut", "end", "double", "splice")))
        if how == "flip":
            body[at] ^= 1 << draw(st.integers(0, 7))
        elif how == "edge":
            body[at] = draw(st.sampled_from(_EDGE_BYTES))
        elif how == "cut":
            del body[at:end]
        elif how == "end":
            del body[at:]
        elif how == "double":
            body[at:at] = body[at:end]
        else:
            other = draw(st.sampled_from(exports()))
            body[at:end] = other[at : at + draw(st.integers(0, 200))]
    return bytes(body)

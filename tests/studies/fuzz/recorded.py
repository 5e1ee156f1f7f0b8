"""Exports of the instrumentation, recorded in this run, and damaged copies of them."""

import functools
import random

import httpx
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics

from gluellm_pools.fake_provider import FakeProviderThread
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from support.installation import instrumented

_EDGE_BYTES = (0, 1, 0x7F, 0x80, 0xFF, *b"\n\r\x12\x1a ,:")


@functools.cache
def exports() -> tuple[bytes, ...]:
    """Three exports of a program that makes requests, fails, and holds a connection."""
    found, limits = [], httpx.Limits(max_connections=2)
    with (
        FakeProviderThread() as server,
        instrumented(scope="llm") as telemetry,
        httpx.Client(limits=limits, trust_env=False) as client,
    ):
        GlueLLMInstrumentor().instrument_client(client, "recorded")
        for _ in range(3):
            client.get(f"{server.openai_url}/models")
            data = telemetry.reader.get_metrics_data()
            assert data is not None
            found.append(encode_metrics(data).SerializeToString())
    return tuple(found)


def changed(body: bytes, chance: random.Random, within: int | None = None) -> bytes:
    """An export with some bytes changed, or a part removed, repeated or taken from another export.

    Changes begin in the first ``within`` bytes. An export with few changes often still decodes.
    """
    made = bytearray(body)
    for _ in range(chance.choice((1, 1, 2, 4))):
        if not made:
            break
        at, size = chance.randrange(min(within or len(made), len(made))), chance.randrange(1, 30)
        how = chance.random()
        if how < 0.6:
            flipped = made[at] ^ 1 << chance.randrange(8)
            made[at] = chance.choice((*_EDGE_BYTES, flipped, chance.randrange(256)))
        elif how < 0.75:
            del made[at : at + size]
        elif how < 0.8:
            del made[at:]
        elif how < 0.9:
            made[at:at] = made[at : at + size]
        else:
            made[at : at + size] = chance.choice(exports())[at : at + size]
    return bytes(made)


def mutated() -> st.SearchStrategy[bytes]:
    """Changed exports, drawn so that hypothesis can shrink a failing input."""
    return st.deferred(
        lambda: st.builds(changed, st.sampled_from(exports()), st.randoms(use_true_random=False))
    )

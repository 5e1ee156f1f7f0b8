"""Whom the demo's callers call, what they ask, and how the providers behave."""

from __future__ import annotations

import math

from ..fake_provider import Behaviour

OPENAI, ANTHROPIC, GLUELLM, HTTP2 = "openai", "anthropic", "gluellm", "http2"
TARGETS = (OPENAI, ANTHROPIC, GLUELLM, HTTP2)
POOL_NAMES = {OPENAI: "openai", ANTHROPIC: "anthropic", GLUELLM: "openai", HTTP2: "openai-http2"}
"""Names of the targets' pools: GlueLLM's gateway mode is the openai provider to any-llm."""
CONNECTIONS = {OPENAI: 4, ANTHROPIC: 4, GLUELLM: 2}
"""Pool sizes, small enough to saturate in a second."""
MAX_STREAMS = 4
"""HTTP/2 streams that the provider allows on a connection; real ones allow about 100."""

MODEL = "demo"
MESSAGES = [{"role": "user", "content": "Say something."}]

QUICK = Behaviour(head_delay=0.08, jitter=0.02, tokens=8, token_rate=160)
SLOW = Behaviour(head_delay=0.35, jitter=0.1, tokens=8, token_rate=20)
SILENT = Behaviour(head_delay=math.inf)

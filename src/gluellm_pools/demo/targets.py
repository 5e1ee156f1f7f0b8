"""Targets of the demo's calls, the question, and how the fake providers behave."""

from __future__ import annotations

import math

from ..fake_provider import Behaviour

TARGETS = OPENAI, ANTHROPIC, HTTP2 = "openai", "anthropic", "http2"
POOL_NAMES = {OPENAI: "openai", ANTHROPIC: "anthropic", HTTP2: "openai-http2"}
CONNECTIONS = {OPENAI: 4, ANTHROPIC: 4}
"""Pool sizes, small enough to saturate in a second."""
MAX_STREAMS = 4
"""HTTP/2 streams that the provider allows on a connection; real ones allow about 100."""

MODEL = "demo-model"
MESSAGES = [{"role": "user", "content": "Say something."}]

QUICK = Behaviour(head_delay=0.22, jitter=0.02, tokens=8, token_rate=160)
SILENT = Behaviour(head_delay=math.inf)

"""Hosts that resolve to the scripted server: one of a known provider, and another one."""

from typing import Any

LLM, OTHER = "api.openai.com", "slack.com"
CHAT = "/v1/chat/completions"


def at(server: Any, host: str, path: str = CHAT) -> str:
    """The URL of a path on the server, under a host's name."""
    return server.url(path).replace("127.0.0.1", host)

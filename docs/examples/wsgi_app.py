"""A WSGI application that asks an LLM: `gunicorn --config gunicorn_conf.py wsgi_app:application`."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable
from typing import Any

from any_llm import AnyLLM

_making = threading.Lock()


def llm() -> AnyLLM:
    """One client in each process, made at its first use: never before the fork.

    The lock is for gunicorn's threads, whose first calls come at once: without it each makes a
    client, and so a pool, of its own.
    """
    with _making:
        return _made()


@functools.cache
def _made() -> AnyLLM:
    return AnyLLM.create("openai")


def application(
    environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]
) -> Iterable[bytes]:
    """Answers every request with what the model says."""
    answer = llm().completion(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "Say hello."}]
    )
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [str(answer.choices[0].message.content).encode()]

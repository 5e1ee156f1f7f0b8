"""Limits for the pools that any-llm builds. Imported only if limits are configured.

.. code-block:: python

    from any_llm import AnyLLM
    from opentelemetry.instrumentation.gluellm.limits import configure_pools

    configure_pools(max_connections=50, pool_timeout=10)
    configure_pools(provider="bedrock", max_connections=8)

    llm = AnyLLM.create("openai")  # at most 50 connections, and 10 s in the queue for one

An instrumentation must not change what a program does, so limits are separate from it. They work
with and without ``GlueLLMInstrumentor().instrument()``, before and after it, and ``uninstrument()``
leaves them in place.
"""

from __future__ import annotations

from .configure import configure_from_environment, configure_pools, reset_pools

__all__ = ["configure_from_environment", "configure_pools", "reset_pools"]

"""Observe the HTTP connection pools under LLM calls: occupancy, waits, timeouts, leases.

.. code-block:: python

    from any_llm import AnyLLM
    from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

    GlueLLMInstrumentor().instrument()

    llm = AnyLLM.create("openai")
    ...

Metrics and spans go to the global OpenTelemetry providers, or to those passed to ``instrument()``.
``snapshot()`` returns the current state of the pools. ``diagnose(snapshot)`` returns what is wrong
with them and what to do. ``what_if(snapshot, max_connections=40)`` replays the recorded requests
with another limit.

Each name loads its module at first use. A program that calls ``diagnose()`` in a signal handler
should import it at its start.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from gluellm_diagnosis.diagnose import diagnose
    from gluellm_diagnosis.findings import Finding
    from gluellm_diagnosis.what_if import WhatIf, what_if

    from .instrumentor import GlueLLMInstrumentor, snapshot
    from .snapshots.snapshot import Snapshot

__all__ = [
    "GlueLLMInstrumentor",
    "Finding",
    "Snapshot",
    "WhatIf",
    "diagnose",
    "snapshot",
    "what_if",
    "__version__",
]

_MODULES = {
    "GlueLLMInstrumentor": ".instrumentor",
    "Finding": "gluellm_diagnosis.findings",
    "Snapshot": ".snapshots.snapshot",
    "diagnose": "gluellm_diagnosis.diagnose",
    "snapshot": ".instrumentor",
    "WhatIf": "gluellm_diagnosis.what_if",
    "what_if": "gluellm_diagnosis.what_if",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULES[name], __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted(globals().keys() | _MODULES.keys())

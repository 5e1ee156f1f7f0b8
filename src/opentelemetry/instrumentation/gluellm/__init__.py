"""Observe the HTTP connection pools under LLM calls: occupancy, waits, timeouts, leases.

.. code-block:: python

    from any_llm import AnyLLM
    from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

    GlueLLMInstrumentor().instrument()

    llm = AnyLLM.create("openai")
    ...

Metrics and spans go to the global OpenTelemetry providers, or to those passed to ``instrument()``.
``snapshot()`` returns the current state of the pools. ``diagnose(snapshot)`` returns what is wrong
with them and what to do.
"""

from .diagnosis.diagnose import diagnose
from .diagnosis.findings import Finding
from .diagnosis.snapshot import Snapshot
from .instrumentor import GlueLLMInstrumentor, snapshot
from .version import __version__

__all__ = [
    "GlueLLMInstrumentor",
    "Finding",
    "Snapshot",
    "diagnose",
    "snapshot",
    "__version__",
]

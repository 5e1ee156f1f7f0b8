"""Makes the connection pools under LLM calls visible: occupancy, waiting, timeouts, leases.

.. code-block:: python

    from any_llm import AnyLLM
    from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

    GlueLLMInstrumentor().instrument()

    llm = AnyLLM.create("openai")
    ...

Metrics and spans go to the global OpenTelemetry providers unless others are handed in. What the
pools look like at this moment, and what is wrong with them, is told by ``snapshot()`` and
``diagnose(snapshot)``.
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

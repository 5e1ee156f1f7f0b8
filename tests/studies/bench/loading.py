"""CPU time of imports: this package beside the libraries that it builds on.

``python -m studies.bench.loading`` prints medians of 20 fresh interpreters each as JSON. The
programs take turns, so that a change of the machine's load affects all of them.
"""

import json
import os
import statistics
import sys
import tempfile

from studies.talking import ran

_ROUNDS = 20
_BASE = (
    "import opentelemetry.metrics, opentelemetry.trace, wrapt\n"
    "import opentelemetry.instrumentation.instrumentor\n"
)
_PACKAGE = "opentelemetry.instrumentation.gluellm"
_INSTRUMENTOR = f"from {_PACKAGE} import GlueLLMInstrumentor\n"
_CLIENT = "import httpx2\nhttpx2.AsyncClient()\n"
_PROGRAMS = {
    "base": _BASE,
    "package": f"{_BASE}import {_PACKAGE}\n",
    "instrumentor": _BASE + _INSTRUMENTOR,
    "instrument": f"{_BASE}{_INSTRUMENTOR}GlueLLMInstrumentor().instrument()\n",
    "all names": f"{_BASE}from {_PACKAGE} import *\n",
    "client": f"{_BASE}{_CLIENT}",
    "client with it": f"{_BASE}{_INSTRUMENTOR}GlueLLMInstrumentor().instrument()\n{_CLIENT}",
}
_TIMED = """
import resource, time
began = time.process_time()
{}
print(1e3 * (time.process_time() - began), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def measure() -> dict[str, float]:
    """Milliseconds of CPU by program, the ratio of importing the instrumentor to the base, and MB
    that the package adds to a program with a client."""
    took: dict[str, list[float]] = {name: [] for name in _PROGRAMS}
    kilobytes = dict.fromkeys(_PROGRAMS, 0.0)
    with tempfile.TemporaryDirectory() as folder:
        # Compiled once, as on a user's machine, wherever this machine keeps its bytecode.
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": folder}
        for number in range(_ROUNDS + 1):
            for name, program in _PROGRAMS.items():
                command = [sys.executable, "-c", _TIMED.format(program)]
                took_now, kilobytes[name] = map(float, ran(*command, env=environment).split())
                if number:  # the first round compiles
                    took[name].append(took_now)
    medians = {name: statistics.median(values) for name, values in took.items()}
    added = (kilobytes["client with it"] - kilobytes["client"]) / 1e3
    return {**medians, "ratio": medians["instrumentor"] / medians["base"], "MB": added}


if __name__ == "__main__":
    print(json.dumps(measure()))

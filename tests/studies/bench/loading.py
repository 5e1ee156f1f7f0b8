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
_PROGRAMS = {
    "base": _BASE,
    "package": f"{_BASE}import {_PACKAGE}\n",
    "instrumentor": _BASE + _INSTRUMENTOR,
    "instrument": f"{_BASE}{_INSTRUMENTOR}GlueLLMInstrumentor().instrument()\n",
    "all names": f"{_BASE}from {_PACKAGE} import *\n",
}
_TIMED = "import time\nbegan = time.process_time()\n{}print(1e3 * (time.process_time() - began))"


def measure() -> dict[str, float]:
    """Milliseconds of CPU by program, and the ratio of importing the instrumentor to the base."""
    took: dict[str, list[float]] = {name: [] for name in _PROGRAMS}
    with tempfile.TemporaryDirectory() as folder:
        # Compiled once, as on a user's machine, wherever this machine keeps its bytecode.
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": folder}
        for number in range(_ROUNDS + 1):
            for name, program in _PROGRAMS.items():
                command = [sys.executable, "-c", _TIMED.format(program)]
                output = ran(*command, env=environment)
                if number:  # the first round compiles
                    took[name].append(float(output))
    medians = {name: statistics.median(values) for name, values in took.items()}
    return {**medians, "ratio": medians["instrumentor"] / medians["base"]}


if __name__ == "__main__":
    print(json.dumps(measure()))

"""Sub-interpreters, created with the private module of each Python version."""

import importlib
import sys

if sys.version_info >= (3, 13):
    _interpreters = importlib.import_module("_interpreters")
else:
    _interpreters = importlib.import_module("_xxsubinterpreters")


class Interpreter:
    """One sub-interpreter: "legacy" shares the interpreter lock, "isolated" has its own."""

    def __init__(self, configuration: str) -> None:
        if sys.version_info >= (3, 13):
            self._number = _interpreters.create(configuration)
        else:
            self._number = _interpreters.create(isolated=configuration == "isolated")

    def run(self, code: str) -> None:
        """Run code in it, in this thread. Raises RuntimeError if the code raises."""
        failure = _interpreters.run_string(self._number, code)  # 3.12 raises by itself
        if failure is not None:
            raise RuntimeError(failure.errdisplay)

    def end(self) -> None:
        """End the sub-interpreter."""
        _interpreters.destroy(self._number)

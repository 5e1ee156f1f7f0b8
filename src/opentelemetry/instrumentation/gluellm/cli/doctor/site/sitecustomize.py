"""Runs first in every Python that `gluellm-pools doctor -- PROGRAM` starts.

The doctor puts this file's directory in front of PYTHONPATH. That hides a sitecustomize of the
environment's own, which is therefore run from here.
"""

import importlib
import json
import os
import sys

_DIRECTORY = "GLUELLM_POOLS_DOCTOR_DIRECTORY"


def _run_the_hidden_one() -> None:
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120  # cheap, so early
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != here]  # noqa: PTH100
    ours = sys.modules.pop("sitecustomize", None)
    try:
        importlib.import_module("sitecustomize")
    except ImportError as error:
        if error.name != "sitecustomize":
            raise
    finally:
        if ours is not None:
            # The import system, which is about to finish with this module, looks for one.
            sys.modules.setdefault("sitecustomize", ours)


def _arm(directory: str) -> None:
    try:
        from opentelemetry.instrumentation.gluellm.cli.doctor.recording import arm

        arm(directory)
    except Exception as error:  # the program is to run all the same, and the doctor to say why not
        report = {
            "error": f"{type(error).__name__}: {error}",
            "missing": isinstance(error, ModuleNotFoundError),
            "python": sys.executable,
        }
        path = os.path.join(directory, f"{os.getpid()}.json")  # noqa: PTH118
        with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123
            json.dump(report, file)


try:
    _run_the_hidden_one()
finally:
    if os.environ.get(_DIRECTORY):
        _arm(os.environ[_DIRECTORY])

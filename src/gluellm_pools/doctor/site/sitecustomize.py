"""Runs first in every Python that `gluellm-pools doctor -- PROGRAM` starts.

The doctor puts this file's directory in front of PYTHONPATH. That hides any other sitecustomize
module, so this one runs the other.
"""

import importlib.machinery
import importlib.util
import json
import os
import sys

_DIRECTORY = os.environ.get("GLUELLM_POOLS_DOCTOR_DIRECTORY", "")
_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120  # faster than pathlib
_LAUNCHER = "opentelemetry-instrument"


def _run_hidden_module() -> None:
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != _HERE]  # noqa: PTH100
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize")
    if spec is not None and spec.loader is not None:
        module = sys.modules["sitecustomize"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)


def _record() -> None:
    try:
        from gluellm_pools.doctor.recording import start_recording

        start_recording(_DIRECTORY)
    except Exception as error:  # the program runs all the same, and the doctor reports this
        report = {"error": f"{type(error).__name__}: {error}", "python": sys.executable}
        # "x": never another user's file or link, if the doctor's directory was replaced.
        with open(os.path.join(_DIRECTORY, f"{os.getpid()}.json"), "x") as file:  # noqa: PTH118, PTH123
            json.dump(report, file)


def _stay_first(event: str, _arguments: object) -> None:
    """Audit hook: put this module in front of the launcher's, which then runs as the hidden one.

    The launcher puts its own sitecustomize in front, and becomes the program.
    """
    if event == "os.exec":
        path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        others = [entry for entry in path if entry and entry != _HERE]
        os.environ["PYTHONPATH"] = os.pathsep.join([_HERE, *others])


try:
    _run_hidden_module()
finally:
    # The doctor may have ended, and removed its directory, before this process started.
    if os.path.isdir(_DIRECTORY):  # noqa: PTH112
        if os.path.basename("".join(sys.orig_argv[1:2])) == _LAUNCHER:  # noqa: PTH119
            sys.addaudithook(_stay_first)
        else:
            _record()

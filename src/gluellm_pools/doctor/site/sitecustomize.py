"""Runs first in every Python that `gluellm-pools doctor -- PROGRAM` starts.

The doctor puts this file's directory in front of PYTHONPATH. That hides a sitecustomize of the
environment's own, which is therefore run from here.
"""

import importlib
import json
import os
import stat
import sys

_DIRECTORY = "GLUELLM_POOLS_DOCTOR_DIRECTORY"
_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120  # cheap, so early
_LAUNCHER = "opentelemetry-instrument"


def _run_the_hidden_one() -> None:
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != _HERE]  # noqa: PTH100
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
        from gluellm_pools.doctor.recording import arm

        arm(directory)
    except Exception as error:  # the program is to run all the same, and the doctor to say why not
        report = {
            "error": f"{type(error).__name__}: {error}",
            "missing": isinstance(error, ModuleNotFoundError),
            "python": sys.executable,
        }
        path = os.path.join(directory, f"{os.getpid()}.json")  # noqa: PTH118
        # Nobody else's file: the directory is private, and there is none of this name yet.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(report, file)


def _is_launcher() -> bool:
    return any(os.path.basename(word) == _LAUNCHER for word in sys.orig_argv[1:2])  # noqa: PTH119


def _stay_first() -> None:
    """The launcher puts a sitecustomize of its own in front of this one, and becomes the program.

    Going first again, this one runs that one as the one that it hides.
    """

    def hook(event: str, _arguments: object) -> None:
        if event == "os.exec":
            path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
            others = [entry for entry in path if entry and entry != _HERE]
            os.environ["PYTHONPATH"] = os.pathsep.join([_HERE, *others])

    sys.addaudithook(hook)


def _is_private(directory: str) -> bool:
    try:
        found = os.lstat(directory)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o77


try:
    _run_the_hidden_one()
finally:
    _directory = os.environ.get(_DIRECTORY, "")
    # The doctor may be gone, and with it the directory, when a process that it left starts another.
    if _directory and _is_private(_directory):
        if _is_launcher():
            _stay_first()
        else:
            _arm(_directory)

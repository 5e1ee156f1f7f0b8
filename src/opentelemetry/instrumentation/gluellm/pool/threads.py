"""Threads of ours beside the program's: daemons, which no program waits for as it ends."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable

from .guard import raise_on


def thread_beside(run: Callable[[], None], *, name: str) -> threading.Thread:
    """A thread that is yet to be started.

    Raises RuntimeError in a sub-interpreter. An isolated one has no daemons, and any other aborts
    the whole process where it ends and one is left: up to Python 3.12 before anybody could end it.
    """
    if not _in_main_interpreter():
        raise RuntimeError("no daemon threads in a sub-interpreter")
    return threading.Thread(target=run, name=name, daemon=True)


# By version, not by trying both: to look for one that isn't there reads every folder of sys.path.
_INTERPRETERS = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"


def _in_main_interpreter() -> bool:
    try:
        interpreters = importlib.import_module(_INTERPRETERS)
        return bool(interpreters.get_current() == interpreters.get_main())
    except Exception as error:  # it is private: there may be none, or of another make
        raise_on(error)
    return True  # this Python has no others

"""Sending a program to a process, and its answers."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Self

from opentelemetry.instrumentation.gluellm import version
from opentelemetry.instrumentation.gluellm.snapshots.format import content_of
from opentelemetry.instrumentation.gluellm.snapshots.on_signal import signals

from ..arguments import CommandError
from . import target, waking

STARTS_WITHIN = 2.0
"""Seconds in which the process has to begin the program, which does nothing later."""
_ANSWERS_WITHIN = 15.0
"""Seconds for the program to answer once it has begun. Its search is bounded to 2 s."""
_WAKE_AFTER = 0.2
"""Seconds after which the main thread counts as idle, and a thread is woken to run the program."""
_POLL = 0.01
_LEAK_THRESHOLD = 10.0
_LISTINGS = ("httpcore", "aiohttp", "urllib3")
_STUB = """\
# Sent to process {pid} by gluellm-pools doctor --attach. It does nothing after its deadline.
import _thread, time
if time.time() < {deadline}:
    _thread.start_new_thread(exec, ({source!r}, {names!r}))
"""


class NotRunError(Exception):
    """The process did not run the program in time; the argument is the file that stays."""


class Program:
    """A program in a process. Within its ``with`` block no other command can look into it."""

    def __init__(self, pid: int, period: float) -> None:
        self.pid = pid
        self.period = period
        self._kept = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._lock()
        directory = Path(tempfile.mkdtemp(prefix="gluellm-pools-attach-"))
        self._directory = directory
        self._script = directory / "program.py"
        self._kept.callback(shutil.rmtree, directory, ignore_errors=True)
        package = Path(version.__file__).parent
        owner = directory.stat().st_uid
        its = int(signals.status_of(self.pid).get("Uid", f"? {owner}").split()[1])
        if its != owner:  # root looks into another user's process, which may not read this package
            package = Path(shutil.copytree(package, directory / "gluellm"))
        settings = {
            "directory": str(directory),
            "listings": [
                (package / "adapters" / one / "listing.py").read_text() for one in _LISTINGS
            ],
            "period": self.period,
            "script": str(self._script),
            "package": str(package),
            "leak_threshold": _LEAK_THRESHOLD,
        }
        self._script.write_text(
            _STUB.format(
                pid=self.pid,
                deadline=time.time() + STARTS_WITHIN,
                source=Path(__file__).with_name("inside.py").read_text(),
                names={"__name__": "gluellm_attached", "SETTINGS": settings},
            )
        )
        if its != owner:
            # The directory last: from then on its files are the other user's to replace.
            for one in (*directory.rglob("*"), directory):
                os.chown(one, its, -1, follow_symlinks=False)
        return self

    def __exit__(self, *_: object) -> None:
        self._kept.close()

    def _lock(self) -> None:
        """Take a name that only one process can have. It goes with the process."""
        held = self._kept.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        try:
            held.bind(f"\0gluellm-pools-attach-{self.pid}")
        except OSError:
            raise CommandError(
                f"another command looks into process {self.pid}: wait until it has ended"
            ) from None

    def look(self) -> dict[str, Any]:
        """Run the program, and return what the pools list. Raises NotRunError, CommandError."""
        if signals.status_of(self.pid).get("State", "").startswith(("T", "t")):
            raise CommandError(
                f"process {self.pid} is stopped: continue it with kill -CONT {self.pid}"
            )
        with target.refusals_explained(self.pid):
            sys.remote_exec(self.pid, str(self._script))  # type: ignore[attr-defined, unused-ignore]
        # The script stays if this fails or is interrupted, since the process may still open it.
        kept = self._kept.pop_all()
        if not self._exists("began", _WAKE_AFTER):
            # In a thread, since a main thread that waits for a disk can't be interrupted.
            threading.Thread(target=waking.wake, args=(self.pid,), daemon=True).start()
            if not self._exists("began", STARTS_WITHIN - _WAKE_AFTER):
                shutil.rmtree(self._directory / "gluellm", ignore_errors=True)
                raise NotRunError(self._script)
        self._kept.enter_context(kept)
        return self._answer("look", _ANSWERS_WITHIN)

    def end(self) -> dict[str, Any]:
        """Wait for the end of the period, and return the answer. Ends it early on an exception."""
        try:
            return self._answer("end", self.period + _ANSWERS_WITHIN)
        except BaseException:
            self._script.unlink(missing_ok=True)
            with contextlib.suppress(CommandError):
                self._answer("end", _ANSWERS_WITHIN)
                print(f"process {self.pid}: everything is restored", file=sys.stderr)
            raise

    def _answer(self, name: str, timeout: float) -> dict[str, Any]:
        if not self._exists(name, timeout):
            raise CommandError(f"process {self.pid} began the program, but gave no answer")
        try:
            # Another user may own the file and may have written anything to it.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            with os.fdopen(os.open(self._directory / name, flags), "rb") as file:
                content: dict[str, Any] = content_of(file)
        except (OSError, ValueError) as error:
            raise CommandError(f"process {self.pid} gave no usable answer: {error}") from None
        return content

    def _exists(self, name: str, timeout: float) -> bool:
        """Wait until the program has written a file. Raises CommandError if the process ended."""
        until = time.monotonic() + timeout
        while not (self._directory / name).exists():
            if signals.status_of(self.pid).get("State", "X").startswith(("Z", "X")):
                raise target.ended(self.pid)
            if time.monotonic() > until:
                return False
            time.sleep(_POLL)
        return True

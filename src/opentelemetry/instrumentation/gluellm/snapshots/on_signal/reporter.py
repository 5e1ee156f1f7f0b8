"""Snapshot on a signal, as turned on by ``snapshot_signal="SIGUSR2"``.

The process writes its snapshot, and the doctor that sent the signal judges it. Without a doctor, or
if the snapshot can't be written, the log gets the text.

The handler only puts an item into a queue: it interrupts the main thread anywhere, also inside a
lock of the logging module, and `SimpleQueue.put` is reentrant. A thread waits for the item and does
the work. If gevent or eventlet has replaced threads, a greenlet of the main thread does it; it
waits with their ``sleep``, so that other greenlets can run.
"""

from __future__ import annotations

import _thread
import atexit
import contextlib
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from ...concurrency import is_native, threads_are_greenlets
from ...text import one_line
from .rendezvous import Presence
from .signals import described, signal_number, why_taken

if TYPE_CHECKING:
    from ..snapshot import Snapshot

ResultT = TypeVar("ResultT")

_LONGEST_REASON = 500
_PATIENCE = 1.0
"""Seconds that uninstall() waits for a report in progress."""
_FIRST_LOOK, _LAST_LOOK = 0.1, 3600.0
"""Seconds between two looks at the handler, which double each time. Servers that replace it do that
soon after the start."""
_POLL = 0.1
"""Seconds between two looks of a greenlet into the queue."""
_HELPER = re.compile(r"from [\w.]*(resource_tracker|semaphore_tracker|forkserver) import main")
"""Code of a process that multiprocessing, billiard or loky starts for itself."""


class _Handler:
    """Handler of the signal. Without a queue it does nothing, and the signal counts as free."""

    def __init__(self, previous: Any) -> None:
        self.previous = previous
        self.requests: SimpleQueue[bool] | None = None
        """True for each signal, False to end the thread."""

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        requests = self.requests
        if requests is not None:
            requests.put(True)


class SignalReporter:
    """Reporter that answers a signal, in the log and to ``gluellm-pools doctor --pid``."""

    def __init__(
        self,
        signal_name: str,
        take: Callable[[], Snapshot],
        text_of: Callable[[Snapshot], str],
        log: Callable[[str], None],
        failed: Callable[[str, BaseException], None] = lambda _what, _error: None,
        about: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        """Create a reporter. It calls all these functions in its own thread.

        ``take`` takes a snapshot, ``text_of`` returns its text for ``log``, and ``about`` returns
        what the doctor's list shows of this process. Exceptions of the four go only to ``failed``,
        with the name of the step that failed. Raises ValueError, naming the allowed signals, if
        ``signal_name`` is not one of them.
        """
        self.signal_name = signal_name
        self._number = signal_number(signal_name)
        self._take = take
        self._text_of = text_of
        self._log = log
        self._failed = failed
        self._about = about
        self._handler: _Handler | None = None
        self._thread: threading.Thread | None = None
        self._presence: Presence | None = None

    def install(self) -> None:
        """Answer the signal from now on. Does nothing if it is installed.

        Raises ValueError outside the main thread, if the signal already has a handler, or if a wait
        in a greenlet would block the program.
        """
        if self._handler is not None:
            return
        name = self.signal_name
        if threads_are_greenlets() and is_native(time.sleep):
            raise ValueError(
                f"snapshot_signal={name!r}: threads are patched but `time.sleep` is not, so a wait "
                "for the signal would block the program. Patch both or omit snapshot_signal"
            )
        current = signal.getsignal(self._number)
        if isinstance(current, _Handler) and current.requests is None:
            current = current.previous  # left by uninstall()
        elif taken := why_taken(name, current):
            raise ValueError(
                f"snapshot_signal={name!r}: the signal is taken by {taken}; choose another one, or "
                f"call instrument() before that handler is set"
            )
        handler = _Handler(current)
        try:
            signal.signal(self._number, handler)
        except ValueError as error:
            # Python has no public check for the thread that signal() requires: a subinterpreter has
            # a main thread as well, and eventlet 0.41 shows each greenlet as another thread.
            raise ValueError(
                f"snapshot_signal={name!r}: {error}; call instrument() there, or leave "
                f"snapshot_signal out"
            ) from error
        # siginterrupt stays on, so that the signal interrupts a system call that hangs.
        self._handler = handler
        # Only here: what multiprocessing's forkserver forks are workers.
        self._start(handler, announce=not any(map(_HELPER.match, sys.orig_argv)))
        atexit.register(self._at_exit)

    def uninstall(self) -> None:
        """Restore the previous handler, end the thread, remove the files. Can be called twice.

        Python can restore handlers only in the main thread, and they must not be restored while a
        doctor may be about to send the signal, whose default action kills the process. In both
        cases the reporter's handler stays and does nothing. The next install() replaces it.
        """
        handler, self._handler = self._handler, None
        if handler is None:
            return
        atexit.unregister(self._at_exit)
        requests, handler.requests = handler.requests, None
        current: object = signal.getsignal(self._number)  # a later handler may still call this one
        if not self._withdraw() and current is handler:
            with contextlib.suppress(ValueError):  # not in the main thread
                signal.signal(self._number, handler.previous)
        thread, self._thread = self._thread, None
        if requests is not None:
            requests.put(False)
            if thread is not None and thread is not threading.current_thread():
                thread.join(_PATIENCE)

    def after_fork_in_child(self) -> None:
        """Give the child its own queue, thread and entry; the parent keeps its own."""
        handler = self._handler
        if handler is None:
            return
        handler.requests = None
        self._withdraw()
        self._start(handler)

    def _start(self, handler: _Handler, *, announce: bool = True) -> None:
        """Create the queue, the thread and the entry. Failures are logged, never raised."""
        requests: SimpleQueue[bool] = SimpleQueue()
        self._thread = None
        try:
            if threads_are_greenlets():
                # Not threading.Thread: its start() switches to other greenlets, and after a fork
                # gevent's hub is still the parent's at this point.
                _thread.start_new_thread(self._run, (requests,))
            else:
                name = "gluellm-pool-report"
                thread = threading.Thread(
                    target=self._run, args=(requests,), name=name, daemon=True
                )
                thread.start()
                self._thread = thread
        except RuntimeError as error:
            self._say(f"No reports on {self.signal_name}: {error}. Requests are not affected.")
            return
        handler.requests = requests
        if not announce:
            return
        try:
            # Last: a doctor that finds the entry sends the signal.
            self._presence = Presence(self._number, **self._state())
        except Exception as error:
            self._say(
                f"Reports on {self.signal_name} go to the log only, and `gluellm-pools doctor "
                f"--pid` can't ask for one: {one_line(error, _LONGEST_REASON)}."
            )

    def _run(self, requests: SimpleQueue[bool]) -> None:
        in_greenlet = threads_are_greenlets()
        wait = _FIRST_LOOK
        while True:
            until = time.monotonic() + wait
            while in_greenlet and requests.empty() and time.monotonic() < until:
                time.sleep(_POLL)
            try:
                # A queue of eventlet refuses a timeout if it does not block.
                goes_on = requests.get(not in_greenlet, None if in_greenlet else wait)
            except Empty:
                wait = min(2 * wait, _LAST_LOOK)
                self.refresh()
                continue
            # One report answers all signals that came during the one before.
            while goes_on and not requests.empty():
                goes_on = requests.get()
            if not goes_on:
                return
            self._answer()

    def _answer(self) -> None:
        presence = self._presence
        tokens = self._attempt("report.requests", presence.requests) if presence else None
        snapshot = None
        try:
            snapshot = self._take()
            content = snapshot.to_dict()
        except Exception as error:
            self._failed("report", error)
            content = {"error": type(error).__qualname__}
        answered = [
            self._attempt("report.answer", partial(presence.answer, token, content))
            for token in tokens or ()
            if presence is not None
        ]
        # The log last: one of its locks may be what hangs.
        if snapshot is not None and not (answered and all(answered)):
            text = self._attempt("report", partial(self._text_of, snapshot))
            if text is not None:
                self._say(f"Report on {self.signal_name}:\n{text}")

    def refresh(self) -> None:
        """Update what the entry says of this process. Raises nothing."""
        self._attempt("report.refresh", self._refresh)

    def _refresh(self) -> None:
        if (presence := self._presence) is not None:
            # Without a free descriptor, for example, the next look tries again.
            with contextlib.suppress(OSError):
                presence.update(**self._state())

    def _state(self) -> dict[str, Any]:
        """Return what the entry says beside the signal."""
        current: object = signal.getsignal(self._number)
        replaced = None if current is self._handler else described(current)
        about = self._attempt("report.about", self._about) or {}
        return {**about, "handler_replaced_by": replaced}

    def _say(self, text: str) -> None:
        self._attempt("report.log", partial(self._log, text))

    def _attempt(self, what: str, step: Callable[[], ResultT]) -> ResultT | None:
        try:
            return step()
        except Exception as error:
            self._failed(what, error)
        return None

    def _withdraw(self) -> bool:
        """Remove the entry. Return whether a doctor may be about to send the signal."""
        presence, self._presence = self._presence, None
        if presence is not None:
            with contextlib.suppress(OSError):
                return presence.withdraw()
        return False

    def _at_exit(self) -> None:
        # Python drops its handlers at exit. A late signal would then kill the process and replace
        # its exit status.
        if self._withdraw() and signal.getsignal(self._number) is self._handler:
            with contextlib.suppress(ValueError):  # not in the main thread
                signal.signal(self._number, signal.SIG_IGN)

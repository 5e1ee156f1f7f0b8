"""Receives and shows, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from rich.console import Console

from ..screens import Terminal, forget_output, print_line, redraws
from ..text import printable
from .display import LiveScreen, PlainScreen, Screen
from .intake import Intake
from .notes import Notes
from .processes import Processes
from .receiver import Receiver
from .refusal import CannotListenError, CannotShowError

_LONGEST_HOST = 100
EXIT_OK, EXIT_INTERRUPTED, EXIT_TERMINATED = 0, 130, 143


def run(host: str, port: int, seconds: float | None) -> int:
    """Watch for so many seconds, or until Ctrl-C; the exit status.

    Raises CannotListenError, CannotShowError, and BrokenPipeError when the reader left.
    """
    return asyncio.run(_watch(Terminal(), host, port, seconds))


async def _watch(console: Console, host: str, port: int, duration: float | None) -> int:
    notes = Notes()
    intake = Intake(Processes())
    receiver = Receiver(intake, notes)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: notes.broken(_what_failed(context)))
    stopped = _stop_on_sigterm(loop)
    try:
        await receiver.start(host, port)
    except (OSError, UnicodeError) as error:
        raise CannotListenError(_why_not(error, host, port)) from error
    try:
        if receiver.beyond_loopback:
            print(
                f"Warning: anyone who reaches port {receiver.port} of this machine can send here; "
                "there is no authentication.",
                file=sys.stderr,
            )
        kind = LiveScreen if redraws(console) else PlainScreen
        screen: Screen = kind(console, receiver.url, intake, notes)
        try:
            return await _show(_Guarded(screen, console), intake, stopped, duration)
        except BrokenPipeError:
            raise
        except OSError as error:
            forget_output()
            raise CannotShowError(f"can't write the output: {error.strerror or error}") from error
    finally:
        await receiver.stop()


async def _show(
    screen: Screen, intake: Intake, stopped: asyncio.Event, duration: float | None
) -> int:
    loop = asyncio.get_running_loop()
    ends = loop.time() + duration if duration is not None else None
    with screen:
        try:
            while ends is None or loop.time() < ends:
                intake.processes.drop_gone()
                screen.show()
                left = screen.interval if ends is None else max(ends - loop.time(), 0.0)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(screen.interval, left)):
                        await stopped.wait()
                        return EXIT_TERMINATED
        except asyncio.CancelledError:  # Ctrl-C: asyncio.run cancels the main task
            return EXIT_INTERRUPTED
        finally:
            screen.close()
    return EXIT_OK


class _Guarded:
    """A screen that goes on after a frame that can't be drawn: the next one may be fine."""

    def __init__(self, screen: Screen, console: Console) -> None:
        self.interval = screen.interval
        self._screen = screen
        self._console = console
        self._told: str | None = None

    def __enter__(self) -> Self:
        self._screen.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._screen.__exit__(kind, value, traceback)

    def show(self) -> None:
        self._draw(self._screen.show)

    def close(self) -> None:
        self._draw(self._screen.close)

    def _draw(self, draw: Callable[[], None]) -> None:
        try:
            draw()
        except OSError:  # nobody can see anything any more
            raise
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            if what != self._told:
                self._told = what
                line = f"this can't be shown, and what is below is older: {printable(what, 200)}"
                print_line(self._console, line)


def _stop_on_sigterm(loop: asyncio.AbstractEventLoop) -> asyncio.Event:
    """Set on SIGTERM where there is one: the terminal's cursor must come back."""
    stopped = asyncio.Event()
    with contextlib.suppress(NotImplementedError, RuntimeError):
        loop.add_signal_handler(signal.SIGTERM, stopped.set)
    return stopped


def _what_failed(context: dict[str, Any]) -> str:
    error = context.get("exception")
    return f"{type(error).__name__}: {error}" if error is not None else str(context.get("message"))


def _why_not(error: OSError | UnicodeError, host: str, port: int) -> str:
    """What is wrong with the address, and what to do."""
    if isinstance(error, UnicodeError):
        return f"{printable(host, _LONGEST_HOST)} can't be the name or address of a machine"
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} of {host} is in use, perhaps by a collector or another watch. "
            "Choose another with --port, or end that one"
        )
    if error.errno == errno.EACCES:
        return f"port {port} needs privileges that this process lacks. Choose one above 1023"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine"
    return f"can't listen on port {port} of {host}: {error.strerror or error}"

"""Receives and shows, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import sys
from typing import Any

from rich.console import Console

from ..screens import redraws
from .intake import Intake
from .notes import Notes
from .processes import Processes
from .receiver import Receiver
from .refusal import CannotListenError
from .screen import LiveScreen, PlainScreen, Screen

EXIT_OK, EXIT_INTERRUPTED, EXIT_TERMINATED = 0, 130, 143


def run(host: str, port: int, seconds: float | None) -> int:
    """Watch for so many seconds, or until Ctrl-C; the exit status. Raises CannotListenError."""
    return asyncio.run(_watch(Console(), host, port, seconds))


async def _watch(console: Console, host: str, port: int, duration: float | None) -> int:
    notes = Notes()
    intake = Intake(Processes())
    receiver = Receiver(intake, notes)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: notes.broken(_what_failed(context)))
    stopped = _stop_on_sigterm(loop)
    try:
        await receiver.start(host, port)
    except OSError as error:
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
        return await _show(screen, intake, stopped, duration)
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


def _stop_on_sigterm(loop: asyncio.AbstractEventLoop) -> asyncio.Event:
    """Set on SIGTERM where there is one: the terminal's cursor must come back."""
    stopped = asyncio.Event()
    with contextlib.suppress(NotImplementedError, RuntimeError):
        loop.add_signal_handler(signal.SIGTERM, stopped.set)
    return stopped


def _what_failed(context: dict[str, Any]) -> str:
    error = context.get("exception")
    return f"{type(error).__name__}: {error}" if error is not None else str(context.get("message"))


def _why_not(error: OSError, host: str, port: int) -> str:
    """What is wrong with the address, and what to do."""
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

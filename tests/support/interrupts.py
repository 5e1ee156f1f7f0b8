"""Interrupts of the programs that tests start."""

import signal


def heed_interrupts() -> None:
    """Let programs that tests start react to SIGINT.

    A shell's background processes ignore SIGINT, and their child processes inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)

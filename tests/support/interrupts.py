"""Interrupts of the programs that tests start."""

import signal


def heed_interrupts() -> None:
    """Have the programs that are started from here take an interrupt as one.

    What a shell runs in the background ignores SIGINT, and so would they, who inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)

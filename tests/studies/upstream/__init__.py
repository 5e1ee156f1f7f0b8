"""Other projects' own test suites, with the instrumentation off and on: ``make upstream``.

A suite comes from the source distribution of the version that is installed here, and runs unchanged
against the wheel of that version, in an environment of its own.
"""

from __future__ import annotations


class PeerError(Exception):
    """What kept a suite from being run. The message says what to do."""

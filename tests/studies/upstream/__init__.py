"""Other projects' own test suites, with the instrumentation off and on: ``make upstream``.

A suite comes from the source distribution of the version that is installed here, and runs unchanged
against the wheel of that version, in an environment of its own.
"""

# Shared by the command and the plug-ins, which run in other environments.
OUTCOMES = "GLUELLM_PEERS_OUTCOMES"
"""Environment variable: the file for the outcomes."""
FOLDER = "GLUELLM_PEERS_FOLDER"
"""Environment variable: the folder for what the instrumentation counted."""
OWN = "own failure caught"
REQUESTS = "requests of "
"""Beginnings of the names of what the instrumentation counted."""

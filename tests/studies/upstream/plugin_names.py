"""What the command and the plug-ins, which run in other environments, agree upon."""

from __future__ import annotations

from typing import Final

ALWAYS: Final = ("studies.upstream.recording",)
ON: Final = "studies.upstream.plugin"

OUTCOMES: Final = "GLUELLM_PEERS_OUTCOMES"
"""Environment variable: the file for the outcomes."""
FOLDER: Final = "GLUELLM_PEERS_FOLDER"
"""Environment variable: the folder for what the instrumentation saw."""
FULL: Final = "GLUELLM_PEERS_FULL"
"""Environment variable: not empty for everything that can be turned on."""
INTERVAL: Final = "GLUELLM_PEERS_INTERVAL"
"""Environment variable: milliseconds between two collections."""
SWITCH: Final = "GLUELLM_PEERS_SWITCH"
"""Environment variable: seconds after which the interpreter changes to another thread."""

OWN: Final = "own failure caught"
REQUESTS: Final = "requests of "
"""How what the instrumentation saw is called, where it is counted apart."""

"""What the command and the plug-ins, which run in other environments, agree upon."""

from __future__ import annotations

from typing import Final

ALWAYS: Final = ("peers.recording",)
ON: Final = "peers.plugin"

OUTCOMES: Final = "GLUELLM_PEERS_OUTCOMES"
"""Environment variable: the file for the outcomes."""
FOLDER: Final = "GLUELLM_PEERS_FOLDER"
"""Environment variable: the folder for what the instrumentation saw."""

"""Brings the programs that the end-to-end tests run: ``make e2e-tools``.

Says first what it will do, then builds what isn't there from Go modules, in the versions that
``pinned`` has, into a cache outside the repository: ``$GLUELLM_E2E_TOOLS``, else
``gluellm-e2e-tools`` in ``$XDG_CACHE_HOME`` or ``~/.cache``. Needs Python 3.11 and Go, nothing else
that is installed; which way the modules come (``GOPROXY``) is left to Go's own settings.
"""

from __future__ import annotations

AGAIN = "make e2e-tools"


class ToolsError(Exception):
    """What a person has to put right. The message says how."""

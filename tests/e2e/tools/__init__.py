"""Brings the programs that the end-to-end tests run: ``make e2e-tools``.

Says first what it will do, then makes what isn't there, in the versions that ``pinned`` has:
programs built from Go modules, a schema out of one, and npm's packages of Grafana's types. They go
into a cache outside the repository: ``$GLUELLM_E2E_TOOLS``, else ``gluellm-e2e-tools`` in
``$XDG_CACHE_HOME`` or ``~/.cache``. Needs Python 3.11, Go and npm, nothing else that is installed;
which way the modules and packages come (``GOPROXY``, npm's ``registry``) is left to their settings.
"""

from __future__ import annotations

AGAIN = "make e2e-tools"


class ToolsError(Exception):
    """What a person has to put right. The message says how."""

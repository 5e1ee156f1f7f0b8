"""Builds the programs that the end-to-end tests run: ``make e2e-tools``.

It announces what it will do, then makes what is missing in the versions of `pinned`: programs from
Go modules, a schema from one, and npm packages with Grafana's types. They go into a cache outside
the repository: ``$GLUELLM_E2E_TOOLS``, else ``gluellm-e2e-tools`` in ``$XDG_CACHE_HOME`` or
``~/.cache``. Needs Python 3.11, Go and npm, and installs nothing else. Modules and packages come
from where Go's ``GOPROXY`` and npm's ``registry`` say.
"""

AGAIN = "make e2e-tools"


class ToolsError(Exception):
    """A person has to act. The message says how."""

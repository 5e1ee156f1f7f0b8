"""Build the programs that the end-to-end tests run: ``make e2e-tools``.

It announces what it will do, then builds what is missing, in the versions of `pinned`: programs and
a schema from Go modules, and npm packages with Grafana's types. They go into a cache outside the
repository: ``$GLUELLM_E2E_TOOLS``, else ``gluellm-e2e-tools`` in ``$XDG_CACHE_HOME`` or
``~/.cache``. It needs Python 3.11, Go and npm, and installs nothing else. Modules and packages are
downloaded according to Go's ``GOPROXY`` and npm's ``registry``.
"""

AGAIN = "make e2e-tools"


class ToolsError(Exception):
    """The user has to act. The message explains how."""

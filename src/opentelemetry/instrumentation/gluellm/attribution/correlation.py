"""GlueLLM's correlation id, which connects a call to the application's own records."""

from __future__ import annotations

import sys

_MODULE = "gluellm.runtime.context"
_LONGEST = 64


def correlation_id() -> str | None:
    """Return the current correlation id; None without GlueLLM or outside of its calls.

    Verified with gluellm 1.11. An application can set any text. Only printable text of at most 64
    characters without spaces counts as an id.
    """
    module = sys.modules.get(_MODULE)
    get = getattr(module, "get_correlation_id", None)
    if get is None:
        return None
    found = get()
    if isinstance(found, str) and 0 < len(found) <= _LONGEST and found.isprintable():
        return found if " " not in found else None
    return None

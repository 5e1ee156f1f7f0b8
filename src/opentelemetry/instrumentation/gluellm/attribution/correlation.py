"""GlueLLM's correlation id, under which an application finds its own records of a call."""

from __future__ import annotations

import sys

_MODULE = "gluellm.runtime.context"
_LONGEST = 64


def correlation_id() -> str | None:
    """The running code's correlation id; None without GlueLLM or outside its calls.

    Verified with gluellm 1.11. An application can set any text; only a short one without spaces is
    an id.
    """
    module = sys.modules.get(_MODULE)
    get = getattr(module, "get_correlation_id", None)
    if get is None:
        return None
    found = get()
    if isinstance(found, str) and 0 < len(found) <= _LONGEST and found.isprintable():
        return found if " " not in found else None
    return None

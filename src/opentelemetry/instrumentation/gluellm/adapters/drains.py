"""Reads by an SDK of what follows the last item of a stream.

openai's async streams (3.57) read on after the last item to keep the connection, cancel that after
0.1 s and ignore its failures.
"""

from __future__ import annotations

import inspect
from typing import Any

from ..patching import ModulePatches
from ..pool.lease import drains

_FUNCTION = "drain_response_async"


class StreamDrains(ModulePatches):
    """Wrapper of the SDK's function, applied when the SDK is imported."""

    MODULES = ("openai._streaming",)
    hooks = None

    def _patch(self, module: Any) -> None:
        if inspect.iscoroutinefunction(getattr(module, _FUNCTION, None)):
            self._patches.wrap(module, _FUNCTION, _around)


def _around(original: Any) -> Any:
    async def drain(*args: Any, **kwargs: Any) -> Any:
        drains.set(True)
        try:
            return await original(*args, **kwargs)
        finally:
            drains.set(False)

    return drain

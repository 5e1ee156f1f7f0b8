"""The example's application, which also says in a header which process answered."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import any_llm.providers.openai  # noqa: F401  (else each worker does, at its first call)
import wsgi_app


def application(
    environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]
) -> Iterable[bytes]:
    """Answers as it does."""

    def telling(status: str, headers: list[tuple[str, str]]) -> object:
        return start_response(status, [*headers, ("X-Process", str(os.getpid()))])

    return wsgi_app.application(environ, telling)

"""Follows the advice on each provider literally, as people would."""

import ast
import importlib
import re
from typing import Any

from gluellm_diagnosis.advice.advisor import advisor_for
from opentelemetry.instrumentation.gluellm.limits import configure_pools

from .calls import create
from .rows import Row

SIZE = 7
_BEGINNING = re.compile(r"(configure_pools|AnyLLM\.create|huggingface_hub\.\w+)\(")
_MODULES = (
    "aiohttp",
    "anthropic",
    "botocore.config",
    "httpx",
    "httpx2",
    "huggingface_hub",
    "openai",
)


def of(row: Row, size: object = SIZE) -> str:
    """The advice on how to allow ``size`` connections."""
    text = advisor_for(row.provider, row.library, gluellm=False).allow(size)  # type: ignore[arg-type]
    return text.removeprefix(f"Allow {size} connections: ")


def expressions(text: str) -> list[str]:
    """The expressions that the text recommends, in its order."""
    found = []
    for beginning in _BEGINNING.finditer(text):
        depth = 0
        for place in range(beginning.end() - 1, len(text)):
            depth += {"(": 1, ")": -1}.get(text[place], 0)
            if not depth:
                found.append(text[beginning.start() : place + 1])
                break
    return [expression for expression in found if _has_arguments(expression)]


def configured(row: Row, size: object = SIZE) -> str | None:
    """The recommended call of ``configure_pools()``, if any."""
    found = (e for e in expressions(of(row, size)) if e.startswith("configure_pools"))
    return next(found, None)


def own(row: Row, size: object = SIZE) -> str | None:
    """The recommended setting of the provider's own, if any."""
    found = (e for e in expressions(of(row, size)) if not e.startswith("configure_pools"))
    return next(found, None)


def keyword(expression: str) -> str:
    """What a reader searches for: the argument of ``AnyLLM.create``, else the function."""
    call = ast.parse(expression, mode="eval").body
    assert isinstance(call, ast.Call)
    if ast.unparse(call.func) == "AnyLLM.create":
        return f"{call.keywords[0].arg}="
    return f"{ast.unparse(call.func)}()"


def follow(row: Row, origin: str, expression: str) -> Any:
    """The provider's instance, built as the expression states. Call it in a running event loop."""
    names: dict[str, Any] = {"AnyLLM": _AnyLLM(origin), "configure_pools": configure_pools}
    for name in _MODULES:
        if f"{name.partition('.')[0]}." in expression:
            names |= {name.partition(".")[0]: __import__(name)}
    if "AioHttpTransport" in expression:
        module = importlib.import_module("azure.core.pipeline.transport")
        names["AioHttpTransport"] = module.AioHttpTransport
    made = eval(expression, names)
    return made if expression.startswith("AnyLLM.") else create(row.provider, origin)


def _has_arguments(expression: str) -> bool:
    # AnyLLM.create("xai") sets nothing.
    call = ast.parse(expression, mode="eval").body
    return isinstance(call, ast.Call) and bool(call.keywords or not expression.startswith("Any"))


class _AnyLLM:
    """Stands in for any-llm's class, and adds the settings for the fake provider."""

    def __init__(self, origin: str) -> None:
        self._origin = origin

    def create(self, provider: str, **further: Any) -> Any:
        return create(provider, self._origin, **further)

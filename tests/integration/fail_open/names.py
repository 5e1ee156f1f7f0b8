"""Every private name of other packages that this package uses, read from its source."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[3] / "src/opentelemetry/instrumentation/gluellm"
_PRIVATE = re.compile(r"_[A-Za-z]\w*")


def files() -> list[Path]:
    """The modules that run in the program that is watched."""
    return sorted(SOURCE.rglob("*.py"))


def private_names(source: str) -> set[str]:
    """The private names in a module's source that are not the module's own.

    Attributes of anything but ``self`` and ``cls``, names that are imported from elsewhere, and
    names in strings: what is got, set, probed or patched by name.
    """
    tree = ast.parse(source)
    return {name for name in _used(tree) if not name.startswith("_gluellm")}


def _used(tree: ast.Module) -> Iterator[str]:
    documentation = _documentation(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            holder = node.value
            if isinstance(holder, ast.Name) and holder.id in ("self", "cls"):
                continue
            if _PRIVATE.fullmatch(node.attr):
                yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in documentation:
                # ``httpcore._async`` has one as well.
                yield from (part for part in node.value.split(".") if _PRIVATE.fullmatch(part))
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (name.name for name in node.names if _PRIVATE.fullmatch(name.name))
            yield from (p for p in (node.module or "").split(".") if _PRIVATE.fullmatch(p))


def _documentation(tree: ast.Module) -> set[int]:
    return {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def foreign() -> dict[str, set[str]]:
    """The private names of others by the folder of the package that uses them."""
    found: dict[str, set[str]] = {}
    for path in files():
        relative = path.relative_to(SOURCE)
        folder = "/".join(relative.parts[:2]) if relative.parts[0] == "adapters" else ""
        folder = folder or (relative.parts[0] if len(relative.parts) > 1 else relative.stem)
        found.setdefault(folder, set()).update(private_names(path.read_text(encoding="utf-8")))
    return found

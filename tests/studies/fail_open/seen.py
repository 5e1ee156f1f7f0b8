"""Changes attributes for this package alone, as if the library's own code were adapted.

A new release changes an attribute together with the code that uses it. A descriptor simulates that:
the library reads and writes the attribute as before, and the package reads something else.
"""

import ast
import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from .releases import targets

OURS = "opentelemetry.instrumentation.gluellm"
_MISSING = object()


class Odd:
    """An object with which nothing can be done."""

    def _refuse(self, *_: Any) -> Any:
        raise RuntimeError("it is no longer what it was")

    __bool__ = __len__ = __iter__ = __eq__ = __lt__ = __gt__ = __ge__ = __le__ = _refuse
    __hash__ = __getitem__ = __call__ = __contains__ = __int__ = __index__ = __str__ = _refuse
    __repr__ = __add__ = __sub__ = __await__ = _refuse


def _raise(error: type[BaseException]) -> Callable[[Any], Any]:
    def read(_: Any) -> Any:
        raise error("it can't be read any more")

    return read


KINDS: dict[str, Callable[[Any], Any]] = {
    "is None": lambda _: None,
    "is a number": lambda _: -7,
    "is text": lambda _: "anew",
    "is a tuple": lambda _: ((1, 2), None),
    "is a dict": lambda _: {"anew": None},
    "is a method": lambda value: lambda *_, **__: value,
    "is another object": lambda _: object(),
    "is an object that refuses everything": lambda _: Odd(),
    "raises RuntimeError": _raise(RuntimeError),
    "raises AttributeError": _raise(AttributeError),
    "raises MemoryError": _raise(MemoryError),
}
"""By kind, computes what the package reads from what the library reads."""


class Seen:
    """An attribute that is unchanged for the library, and altered for the package."""

    def __init__(self, name: str, before: Any, altered: Callable[[Any], Any]) -> None:
        self.name = name
        self.before = before
        self.altered = altered
        self.reads = 0

    def _value(self, instance: Any, owner: Any) -> Any:
        if hasattr(type(self.before), "__get__"):
            return self.before.__get__(instance, owner)
        if instance is not None and self.name in vars(instance):
            return vars(instance)[self.name]
        if self.before is _MISSING:
            raise AttributeError(self.name)
        return self.before

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        ours = sys._getframe(1).f_globals.get("__name__", "").startswith(OURS)
        if instance is None:
            if ours and not callable(self.before):
                return self
            return self._value(instance, owner)
        if not ours:
            return self._value(instance, owner)
        self.reads += 1
        try:
            value = self._value(instance, owner)
        except AttributeError:
            value = None
        return self.altered(value)

    def __set__(self, instance: Any, value: Any) -> None:
        if hasattr(type(self.before), "__set__"):
            self.before.__set__(instance, value)
        else:
            vars(instance)[self.name] = value

    def __delete__(self, instance: Any) -> None:
        if hasattr(type(self.before), "__delete__"):
            self.before.__delete__(instance)
        else:
            del vars(instance)[self.name]


def _classes_with(package: str, name: str) -> Iterator[type]:
    """Classes of a package whose source assigns this attribute, of ``self`` or in the body."""
    for module_name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        if module_name.partition(".")[0] == package and file.endswith(".py"):
            for node in ast.walk(ast.parse(Path(file).read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef) and _has(node, name):
                    found = getattr(module, node.name, None)
                    if isinstance(found, type):
                        yield found


def _has(node: ast.ClassDef, name: str) -> bool:
    of_self = {
        ast.unparse(single)
        for found in ast.walk(node)
        if not isinstance(found, ast.AugAssign)
        for target in targets(found)
        for single in (target.elts if isinstance(target, ast.Tuple) else [target])
    }
    in_body = {getattr(found, "name", "") for found in node.body} | {
        ast.unparse(target) for found in node.body for target in targets(found)
    }
    return f"self.{name}" in of_self or name in in_body


def see(package: str, name: str, kind: str) -> list[Seen]:
    """Alter an attribute of a library's objects for this package, and return the descriptors."""
    placed = []
    for owner in _classes_with(package, name):
        descriptor = Seen(name, vars(owner).get(name, _MISSING), KINDS[kind])
        with contextlib.suppress(AttributeError, TypeError):
            setattr(owner, name, descriptor)
            placed.append(descriptor)
    return placed


NAME_KINDS: dict[str, Callable[[Any], Any]] = {
    "is None": lambda _: None,
    "is a function": lambda value: lambda *args, **kwargs: value(*args, **kwargs),
    "is another class": lambda _: type("Anew", (), {}),
    "is an object that refuses everything": lambda _: Odd(),
    "raises RuntimeError": lambda _: RuntimeError("it can't be read any more"),
}
"""By kind, computes the replacement of a class."""


def see_name(module: str, name: str, kind: str) -> None:
    """Change a class for all modules that read it from its module later."""
    value = NAME_KINDS[kind](getattr(importlib.import_module(module), name))
    if isinstance(value, RuntimeError):
        Changed.put(module, (name,), {}, value)
    else:
        Changed.put(module, (), {name: value})


class Changed(ModuleType):
    """A module in which some names are missing or replaced."""

    @classmethod
    def put(
        cls,
        module: str,
        names: tuple[str, ...],
        values: dict[str, Any],
        error: Exception | None = None,
    ) -> None:
        """Replace a module for later imports; its own functions keep the original."""
        made = cls(module)
        found = importlib.import_module(module)
        made.__dict__.update({"_module": found, "_without": names, "_error": error, **values})
        sys.modules[module] = made
        parent, _, last = module.rpartition(".")
        setattr(sys.modules[parent], last, made)

    def __getattr__(self, name: str) -> Any:
        if name in self._without:
            raise self._error or AttributeError(name)
        return getattr(self._module, name)

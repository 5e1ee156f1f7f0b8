"""What only we see otherwise: a library whose own code gets along with what its attributes are now.

A new release changes an attribute together with the code that uses it. That is stood for by a
descriptor: the library reads and writes the attribute as ever, and the package that is tried reads
something else.
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
"""What the package gets, by kind, from what the library gets."""


class Seen:
    """An attribute that is as ever for the library, and otherwise for us."""

    def __init__(self, name: str, before: Any, otherwise: Callable[[Any], Any]) -> None:
        self.name = name
        self.before = before
        self.otherwise = otherwise
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
        return self.otherwise(value)

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
    """The classes of a package whose source has this attribute of ``self``, or in their body."""
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
    """From now on this attribute of the package's objects is otherwise for us."""
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
"""What a class of a module is, by kind."""


def see_name(module: str, name: str, kind: str) -> None:
    """Change a class for every module that reads it from its module from now on."""
    value = NAME_KINDS[kind](getattr(importlib.import_module(module), name))
    if isinstance(value, RuntimeError):
        Changed.put(module, (name,), {}, value)
    else:
        Changed.put(module, (), {name: value})


class Changed(ModuleType):
    """A module without some names, and with others in their place."""

    @classmethod
    def put(
        cls,
        module: str,
        names: tuple[str, ...],
        values: dict[str, Any],
        error: Exception | None = None,
    ) -> None:
        """Modules that import it from now on get the changed one; its own functions don't."""
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

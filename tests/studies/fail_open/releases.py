"""New releases of a library, made while it is imported: its source is changed, then compiled.

Each kind of change is made where a private method is defined and wherever the library calls it, so
the library itself goes on working. What it does to us is what is tried.
"""

from __future__ import annotations

import ast
import importlib.machinery
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

ANEW = "anew"
Change = Callable[[ast.Module, str], ast.Module]


class NotApplicable(Exception):  # noqa: N818  it is no error
    """This kind of change makes no sense for that name."""


class _Change(ast.NodeTransformer):
    """Visits each definition of a method and each call of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.parameters: set[str] = set()

    def definition(self, node: Any) -> Any:
        return node

    def call(self, node: ast.Call) -> ast.AST:
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        self.generic_visit(node)
        return self.definition(node) if node.name == self.name else node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> Any:
        self.generic_visit(node)
        return self.definition(node) if node.name == self.name else node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        called = node.func
        ours = isinstance(called, ast.Attribute) and called.attr == self.name
        return self.call(node) if ours else node


class RequiredKeyword(_Change):
    """A further keyword argument that has to be given."""

    def definition(self, node: Any) -> Any:
        node.args.kwonlyargs.append(ast.arg(ANEW))
        node.args.kw_defaults.append(None)
        return node

    def call(self, node: ast.Call) -> ast.AST:
        node.keywords.append(ast.keyword(ANEW, ast.Constant(1)))
        return node


class RequiredPositional(_Change):
    """A further argument in the first place."""

    def definition(self, node: Any) -> Any:
        if not node.args.args:
            raise NotApplicable
        node.args.args.insert(1, ast.arg(ANEW))
        return node

    def call(self, node: ast.Call) -> ast.AST:
        node.args.insert(0, ast.Constant(1))
        return node


class OptionalKeyword(_Change):
    """A further keyword argument with a default, which the library gives."""

    def definition(self, node: Any) -> Any:
        node.args.kwonlyargs.append(ast.arg(ANEW))
        node.args.kw_defaults.append(ast.Constant(0))
        return node

    call = RequiredKeyword.call


class FewerArguments(_Change):
    """The arguments come as one tuple."""

    def definition(self, node: Any) -> Any:
        names = [argument.arg for argument in node.args.args[1:]]
        if not names or node.args.kwonlyargs or node.args.vararg or node.args.kwarg:
            raise NotApplicable
        defaults = node.args.defaults
        padding: list[Any] = [ast.Constant(None)] * (len(names) - len(defaults))
        unpacked = ast.parse(f"{', '.join(names)}, = anew_arguments(anew, __defaults_anew__)")
        values = ast.Tuple([*padding, *defaults], ast.Load())
        for found in ast.walk(unpacked):
            if isinstance(found, ast.Call):
                found.args[1] = values
                found.keywords = [
                    ast.keyword("names", ast.Constant(tuple(names))),
                ]
        node.args.args = [node.args.args[0], ast.arg(ANEW)]
        node.args.defaults = []
        node.body = [*unpacked.body, *node.body]
        return node

    def call(self, node: ast.Call) -> ast.AST:
        if any(isinstance(argument, ast.Starred) for argument in node.args):
            raise NotApplicable
        keys: list[Any] = [ast.Constant(keyword.arg) for keyword in node.keywords]
        given = ast.Dict(keys, [keyword.value for keyword in node.keywords])
        node.args = [ast.Tuple([ast.Tuple(node.args, ast.Load()), given], ast.Load())]
        node.keywords = []
        return node


class RenamedArguments(_Change):
    """Its arguments have other names."""

    def definition(self, node: Any) -> Any:
        arguments = [*node.args.args[1:], *node.args.kwonlyargs]
        if not arguments:
            raise NotApplicable
        renamed = {argument.arg: f"{argument.arg}_{ANEW}" for argument in arguments}
        self.parameters |= renamed.keys()
        for argument in arguments:
            argument.arg = renamed[argument.arg]
        for found in ast.walk(node):
            if isinstance(found, ast.Name) and found.id in renamed:
                found.id = renamed[found.id]
        return node

    def call(self, node: ast.Call) -> ast.AST:
        for keyword in node.keywords:
            if keyword.arg is not None:
                keyword.arg = f"{keyword.arg}_{ANEW}"
        return node


class ReturnsTuple(_Change):
    """It gives a tuple with more in it."""

    before = "anew_tuple"

    def definition(self, node: Any) -> Any:
        node.decorator_list.append(ast.Name(self.before, ast.Load()))
        return node

    def call(self, node: ast.Call) -> ast.AST:
        return ast.Call(ast.Name(f"{self.before}_value", ast.Load()), [node], [])


class ReturnsHolder(ReturnsTuple):
    """It gives an object that has what it gave before inside."""

    before = "anew_holder"


class NoLongerCalled(_Change):
    """It is there for others still, but the library calls another method."""

    def definition(self, node: Any) -> Any:
        alias = ast.Assign(
            [ast.Name(f"{self.name}_{ANEW}", ast.Store())], ast.Name(self.name, ast.Load())
        )
        return [node, alias]

    def call(self, node: ast.Call) -> ast.AST:
        assert isinstance(node.func, ast.Attribute)
        node.func.attr = f"{self.name}_{ANEW}"
        return node


class BecomesProperty(_Change):
    """It is a property that gives a function."""

    def definition(self, node: Any) -> Any:
        node.decorator_list.append(ast.Name("anew_property", ast.Load()))
        return node


METHODS: dict[str, type[_Change]] = {
    "a further required keyword argument": RequiredKeyword,
    "a further required argument": RequiredPositional,
    "a further optional argument that is given": OptionalKeyword,
    "arguments as one tuple": FewerArguments,
    "renamed arguments": RenamedArguments,
    "returns a tuple": ReturnsTuple,
    "returns an object without the attributes": ReturnsHolder,
    "no longer called": NoLongerCalled,
    "becomes a property": BecomesProperty,
}
"""Kinds of change of a private method."""


class BecomesAsync(_Change):
    """It becomes a coroutine function, and with it what calls it in the same module."""

    def __init__(self, name: str, module: ast.Module) -> None:
        super().__init__(name)
        self.names = {name}
        while True:
            more = {caller for caller in self._callers(module) if caller not in self.names}
            if not more:
                break
            if any(caller.startswith("__") for caller in more):
                raise NotApplicable
            self.names |= more

    def _callers(self, module: ast.Module) -> Iterator[str]:
        for function in ast.walk(module):
            if isinstance(function, ast.FunctionDef) and any(
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in self.names
                for node in ast.walk(function)
            ):
                yield function.name

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        self.generic_visit(node)
        if node.name not in self.names:
            return node
        return ast.AsyncFunctionDef(**{f: getattr(node, f, None) for f in node._fields})

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        called = node.func
        if isinstance(called, ast.Attribute) and called.attr in self.names:
            return ast.Await(node)
        return node


ASYNC = "becomes a coroutine function"
SLOTS = "slots everywhere"
RENAMED = "renamed"


class _Slots(ast.NodeTransformer):
    """Every class of the library has slots: no further attributes, no weak references."""

    def visit_ClassDef(self, node: ast.ClassDef) -> Any:
        own = {
            target.attr
            for found in ast.walk(node)
            if isinstance(found, (ast.Assign, ast.AnnAssign, ast.AugAssign))
            for target in (found.targets if isinstance(found, ast.Assign) else [found.target])
            if isinstance(target, ast.Attribute)
            and isinstance(target.value, ast.Name)
            and target.value.id == "self"
        }
        in_class = {
            target.id
            for found in node.body
            if isinstance(found, (ast.Assign, ast.AnnAssign))
            for target in (found.targets if isinstance(found, ast.Assign) else [found.target])
            if isinstance(target, ast.Name)
        } | {found.name for found in node.body if hasattr(found, "name")}
        kinds = {base.id for base in node.bases if isinstance(base, ast.Name)}
        if node.decorator_list or kinds & {"Exception", "Enum", "NamedTuple", "IntEnum"}:
            return node
        slots = ast.parse(f"__slots__ = {tuple(sorted(own - in_class))!r}").body
        at = 1 if ast.get_docstring(node) else 0
        node.body[at:at] = slots
        return node


def change_of(kind: str, name: str, package: str) -> Callable[[str, str], ast.Module | str]:
    """What changes the source of one module: given its name and its text."""

    def change(module: str, text: str) -> ast.Module | str:
        if kind == RENAMED:
            return re.sub(rf"(?<!\w)({'|'.join(name.split())})\b", rf"\1_{ANEW}", text)
        if kind == SLOTS:
            return _Slots().visit(ast.parse(text))
        if name not in text:
            return text
        tree = ast.parse(text)
        if kind == ASYNC:
            if f"{package}._async" not in module:
                return text
            return BecomesAsync(name, tree).visit(tree)
        return METHODS[kind](name).visit(tree)

    return change


class _Loader(importlib.machinery.SourceFileLoader):
    change: Callable[[str, str], ast.Module | str]

    def get_code(self, fullname: str) -> Any:
        text = Path(self.path).read_text(encoding="utf-8")
        changed = self.change(fullname, text)
        if changed == text:
            return super().get_code(fullname)  # from the cache
        if isinstance(changed, ast.AST):
            changed = ast.fix_missing_locations(changed)
        return compile(changed, self.path, "exec", dont_inherit=True)


class Release(MetaPathFinder):
    """Finds the modules of one package, changed."""

    def __init__(self, package: str, change: Callable[[str, str], ast.Module | str]) -> None:
        self.package = package
        self._change = change

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] != self.package:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is None or not isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            return spec
        loader = _Loader(fullname, spec.loader.path)
        loader.change = self._change
        spec.loader = loader
        return spec


def release(package: str, kind: str, name: str) -> None:
    """Make a new release of the package. Raises NotApplicable where that makes no sense.

    Several names, separated by spaces, can be renamed at once.
    """
    assert package not in sys.modules, f"{package} is imported already"
    place = importlib.machinery.PathFinder.find_spec(package)
    assert place is not None
    assert place.origin is not None
    sources = sorted(Path(place.origin).parent.rglob("*.py"))
    texts = [source.read_text() for source in sources]
    wanted = () if kind == SLOTS else name.split()
    definition = "" if kind == RENAMED else "def "
    for one in wanted:
        if not any(re.search(rf"{definition}\b{re.escape(one)}\b", text) for text in texts):
            raise NotApplicable
    change = change_of(kind, name, package)
    if kind != RENAMED:
        for source in sources:
            change(
                f"{package}.{'.'.join(source.relative_to(sources[0].parent).parts)}",
                source.read_text(),
            )
    _give_builtins()
    sys.meta_path.insert(0, Release(package, change))


def _give_builtins() -> None:
    """What changed source calls."""
    import builtins
    import functools
    import inspect

    class Holder:
        __slots__ = ("value",)

        def __init__(self, value: Any) -> None:
            self.value = value

    async def awaited(made: Any, pack: Any) -> Any:
        return pack(await made)

    def packed(pack: Any) -> Any:
        def decorate(function: Any) -> Any:
            if inspect.iscoroutinefunction(function):

                @functools.wraps(function)
                async def changed(*args: Any, **kwargs: Any) -> Any:
                    return pack(await function(*args, **kwargs))

            else:

                @functools.wraps(function)
                def changed(*args: Any, **kwargs: Any) -> Any:
                    return pack(function(*args, **kwargs))

            return changed

        return decorate

    def unpacked(unpack: Any) -> Any:
        def value(found: Any) -> Any:
            return awaited(found, unpack) if inspect.iscoroutine(found) else unpack(found)

        return value

    class Property:
        def __init__(self, function: Any) -> None:
            self.function = function

        def __get__(self, instance: Any, owner: Any = None) -> Any:
            if instance is None:
                return property(self.function)
            return functools.partial(self.function, instance)

    def arguments(given: Any, defaults: tuple[Any, ...], *, names: tuple[str, ...]) -> Any:
        positional, named = given
        return tuple(
            positional[place] if place < len(positional) else named.get(name, defaults[place])
            for place, name in enumerate(names)
        )

    space = vars(builtins)
    space["anew_tuple"] = packed(lambda value: (value, None))
    space["anew_tuple_value"] = unpacked(lambda value: value[0])
    space["anew_holder"] = packed(Holder)
    space["anew_holder_value"] = unpacked(lambda value: value.value)
    space["anew_property"] = Property
    space["anew_arguments"] = arguments


class _Lost(MetaPathFinder):
    def __init__(self, name: str, error: Exception) -> None:
        self._name = name
        self._error = error

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> None:
        if fullname == self._name:
            raise self._error


MODULES: dict[str, Exception] = {
    "is not there": ModuleNotFoundError("moved"),
    "raises RuntimeError when it is imported": RuntimeError("odd"),
    "raises SyntaxError when it is imported": SyntaxError("odd"),
}


def lose(name: str, how: str) -> None:
    """A module that the library has loaded can't be imported again by its name."""
    sys.modules.pop(name, None)
    sys.meta_path.insert(0, _Lost(name, MODULES[how]))

"""New releases of a library, made while it is imported: its source is changed, then compiled.

Each kind of change is made where a private method is defined and wherever the library calls it, so
that the library itself still works. What is tried is its effect on the package.
"""

from __future__ import annotations

import ast
import builtins
import functools
import importlib.machinery
import inspect
import re
import sys
from pathlib import Path
from typing import Any

ANEW = "anew"


class NotApplicable(Exception):  # noqa: N818  it is no error
    """This kind of change makes no sense for that name."""


class _Change(ast.NodeTransformer):
    """Visit each definition of a method and each call of it."""

    def __init__(self, name: str, module: ast.Module) -> None:
        self.names = {name}

    def definition(self, node: Any) -> Any:
        return node

    def call(self, node: Any) -> ast.AST:
        return node

    def visit_FunctionDef(self, node: Any) -> Any:
        self.generic_visit(node)
        return self.definition(node) if node.name in self.names else node

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        return self.call(node) if _calls(node, self.names) else node


def _calls(node: ast.AST, names: set[str]) -> bool:
    called = node.func if isinstance(node, ast.Call) else None
    return isinstance(called, ast.Attribute) and called.attr in names


class OptionalKeyword(_Change):
    """A further keyword argument with a default, which the library gives."""

    default: ast.expr | None = ast.Constant(0)

    def definition(self, node: Any) -> Any:
        node.args.kwonlyargs.append(ast.arg(ANEW))
        node.args.kw_defaults.append(self.default)
        return node

    def call(self, node: Any) -> ast.AST:
        node.keywords.append(ast.keyword(ANEW, ast.Constant(1)))
        return node


class RequiredKeyword(OptionalKeyword):
    """A further keyword argument that has to be given."""

    default = None


class RequiredPositional(_Change):
    """A further argument in the first place."""

    def definition(self, node: Any) -> Any:
        if not node.args.args:
            raise NotApplicable
        node.args.args.insert(1, ast.arg(ANEW))
        return node

    def call(self, node: Any) -> ast.AST:
        node.args.insert(0, ast.Constant(1))
        return node


class FewerArguments(_Change):
    """The arguments come as one tuple."""

    def definition(self, node: Any) -> Any:
        names = [argument.arg for argument in node.args.args[1:]]
        if not names or node.args.kwonlyargs or node.args.vararg or node.args.kwarg:
            raise NotApplicable
        defaults = ["None"] * (len(names) - len(node.args.defaults))
        defaults += map(ast.unparse, node.args.defaults)
        values = f"anew_arguments(anew, ({', '.join(defaults)},), {names})"
        node.args.args[1:], node.args.defaults = [ast.arg(ANEW)], []
        node.body[:0] = ast.parse(f"{', '.join(names)}, = {values}").body
        return node

    def call(self, node: Any) -> ast.AST:
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
        renamed = {argument.arg for argument in arguments}
        for argument in arguments:
            argument.arg += f"_{ANEW}"
        for found in ast.walk(node):
            if isinstance(found, ast.Name) and found.id in renamed:
                found.id += f"_{ANEW}"
        return node

    def call(self, node: Any) -> ast.AST:
        for keyword in node.keywords:
            if keyword.arg is not None:
                keyword.arg += f"_{ANEW}"
        return node


class BecomesProperty(_Change):
    """It is a property that gives a function."""

    decorator = "anew_property"

    def definition(self, node: Any) -> Any:
        node.decorator_list.append(ast.Name(self.decorator, ast.Load()))
        return node


class ReturnsTuple(BecomesProperty):
    """It gives a tuple with more in it."""

    decorator = "anew_tuple"

    def call(self, node: Any) -> ast.AST:
        return ast.Call(ast.Name(f"{self.decorator}_value", ast.Load()), [node], [])


class ReturnsHolder(ReturnsTuple):
    """It gives an object that has what it gave before inside."""

    decorator = "anew_holder"


class NoLongerCalled(_Change):
    """It is there for others still, but the library calls another method."""

    def definition(self, node: Any) -> Any:
        return [node, *ast.parse(f"{node.name}_{ANEW} = {node.name}").body]

    def call(self, node: Any) -> ast.AST:
        node.func.attr += f"_{ANEW}"
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
        super().__init__(name, module)
        functions = [node for node in ast.walk(module) if isinstance(node, ast.FunctionDef)]
        while more := {
            function.name
            for function in functions
            if function.name not in self.names
            and any(_calls(node, self.names) for node in ast.walk(function))
        }:
            if any(caller.startswith("__") for caller in more):
                raise NotApplicable
            self.names |= more

    def definition(self, node: Any) -> Any:
        return ast.AsyncFunctionDef(**{f: getattr(node, f, None) for f in node._fields})

    def call(self, node: Any) -> ast.AST:
        return ast.Await(node)


ASYNC = "becomes a coroutine function"
SLOTS = "slots everywhere"
RENAMED = "renamed"


class _Slots(ast.NodeTransformer):
    """Every class of the library has slots: no further attributes, no weak references."""

    def visit_ClassDef(self, node: ast.ClassDef) -> Any:
        kinds = {base.id for base in node.bases if isinstance(base, ast.Name)}
        if node.decorator_list or kinds & {"Exception", "Enum", "NamedTuple", "IntEnum"}:
            return node
        own = {ast.unparse(target) for found in ast.walk(node) for target in targets(found)}
        own = {name.removeprefix("self.") for name in own if re.fullmatch(r"self\.\w+", name)}
        in_class = {ast.unparse(target) for found in node.body for target in targets(found)}
        in_class |= {found.name for found in node.body if hasattr(found, "name")}
        at = 1 if ast.get_docstring(node) else 0
        node.body[at:at] = ast.parse(f"__slots__ = {tuple(sorted(own - in_class))!r}").body
        return node


def targets(node: ast.AST) -> list[ast.expr]:
    """What a statement assigns to."""
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, (ast.AnnAssign, ast.AugAssign)) else []


def _changed(kind: str, name: str, module: str, text: str) -> ast.Module | str:
    """The source of one module of the new release."""
    if kind == RENAMED:
        return re.sub(rf"(?<!\w)({'|'.join(name.split())})\b", rf"\1_{ANEW}", text)
    if kind == SLOTS:
        return ast.fix_missing_locations(_Slots().visit(ast.parse(text)))
    if name not in text or (kind == ASYNC and "._async" not in module):
        return text
    tree = ast.parse(text)
    change = BecomesAsync if kind == ASYNC else METHODS[kind]
    return ast.fix_missing_locations(change(name, tree).visit(tree))


def release(package: str, kind: str, name: str) -> None:
    """Make a new release of the package. Raises NotApplicable where that makes no sense.

    Several names, separated by spaces, can be renamed at once.
    """
    assert package not in sys.modules, f"{package} is imported already"
    place = importlib.machinery.PathFinder.find_spec(package)
    assert place is not None
    assert place.origin is not None
    folder = Path(place.origin).parent
    texts = {path: path.read_text() for path in sorted(folder.rglob("*.py"))}
    definition = "" if kind == RENAMED else "def "
    for one in () if kind == SLOTS else name.split():
        if not any(
            re.search(rf"{definition}\b{re.escape(one)}\b", text) for text in texts.values()
        ):
            raise NotApplicable
    if kind != RENAMED:
        for path, text in texts.items():
            _changed(kind, name, f"{package}.{'.'.join(path.relative_to(folder).parts)}", text)
    vars(builtins).update(_HELPERS)
    loader = importlib.machinery.SourceFileLoader
    get_code = loader.get_code

    def get_changed(self: Any, fullname: str) -> Any:
        text = texts.get(Path(self.path))
        changed = text and _changed(kind, name, fullname, text)
        if changed is None or changed == text:
            return get_code(self, fullname)  # from the cache
        return compile(changed, self.path, "exec", dont_inherit=True)

    loader.get_code = get_changed  # type: ignore[method-assign]


# What changed source calls


class _Holder:
    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def _packed(pack: Any) -> Any:
    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def changed(*args: Any, **kwargs: Any) -> Any:
            return pack(function(*args, **kwargs))

        @functools.wraps(function)
        async def changed_async(*args: Any, **kwargs: Any) -> Any:
            return pack(await function(*args, **kwargs))

        return changed_async if inspect.iscoroutinefunction(function) else changed

    return decorate


def _unpacked(unpack: Any) -> Any:
    async def awaited(made: Any) -> Any:
        return unpack(await made)

    return lambda found: awaited(found) if inspect.iscoroutine(found) else unpack(found)


class _Property:
    def __init__(self, function: Any) -> None:
        self.function = function

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return property(self.function)
        return functools.partial(self.function, instance)


def _arguments(given: Any, defaults: tuple[Any, ...], names: list[str]) -> Any:
    positional, named = given
    return tuple(
        positional[place] if place < len(positional) else named.get(name, defaults[place])
        for place, name in enumerate(names)
    )


_HELPERS = {
    "anew_tuple": _packed(lambda value: (value, None)),
    "anew_tuple_value": _unpacked(lambda value: value[0]),
    "anew_holder": _packed(_Holder),
    "anew_holder_value": _unpacked(lambda value: value.value),
    "anew_property": _Property,
    "anew_arguments": _arguments,
}


class _Lost:
    def __init__(self, name: str, error: Exception) -> None:
        self._name, self._error = name, error

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
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

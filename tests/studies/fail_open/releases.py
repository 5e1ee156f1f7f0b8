"""Simulates new releases of a library by changing its source while it is imported.

A change is applied to the definition of a private method and to all calls of it in the library, so
that the library itself still works. A trial shows its effect on the package.
"""

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

    def __init__(self, name: str) -> None:
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
    """A further keyword argument with a default, which the library passes."""

    default: ast.expr | None = ast.Constant(0)

    def definition(self, node: Any) -> Any:
        node.args.kwonlyargs.append(ast.arg(ANEW))
        node.args.kw_defaults.append(self.default)
        return node

    def call(self, node: Any) -> ast.AST:
        node.keywords.append(ast.keyword(ANEW, ast.Constant(1)))
        return node


class RequiredKeyword(OptionalKeyword):
    """A further required keyword argument."""

    default = None


class RequiredPositional(_Change):
    """A further first argument."""

    def definition(self, node: Any) -> Any:
        if not node.args.args:
            raise NotApplicable
        node.args.args.insert(1, ast.arg(ANEW))
        return node

    def call(self, node: Any) -> ast.AST:
        node.args.insert(0, ast.Constant(1))
        return node


class BecomesProperty(_Change):
    """The method becomes a property that returns a function."""

    decorator = "anew_property"

    def definition(self, node: Any) -> Any:
        node.decorator_list.append(ast.Name(self.decorator, ast.Load()))
        return node


class ReturnsTuple(BecomesProperty):
    """The method returns its result in a tuple."""

    decorator = "anew_tuple"

    def call(self, node: Any) -> ast.AST:
        return ast.Call(ast.Name(f"{self.decorator}_value", ast.Load()), [node], [])


class NoLongerCalled(_Change):
    """The method still exists, but the library calls another one."""

    def definition(self, node: Any) -> Any:
        return [node, *ast.parse(f"{node.name}_{ANEW} = {node.name}").body]

    def call(self, node: Any) -> ast.AST:
        node.func.attr += f"_{ANEW}"
        return node


METHODS: dict[str, type[_Change]] = {
    "a further required keyword argument": RequiredKeyword,
    "a further required argument": RequiredPositional,
    "a further optional argument that is given": OptionalKeyword,
    "returns a tuple": ReturnsTuple,
    "no longer called": NoLongerCalled,
    "becomes a property": BecomesProperty,
}
"""Kinds of change of a private method."""


RENAMED = "renamed"


def targets(node: ast.AST) -> list[ast.expr]:
    """The targets of an assignment statement."""
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, (ast.AnnAssign, ast.AugAssign)) else []


def _changed(kind: str, name: str, text: str) -> ast.Module | str:
    """The source of one module of the new release."""
    if kind == RENAMED:
        return re.sub(rf"(?<!\w)({'|'.join(name.split())})\b", rf"\1_{ANEW}", text)
    if name not in text:
        return text
    tree = ast.parse(text)
    return ast.fix_missing_locations(METHODS[kind](name).visit(tree))


def release(package: str, kind: str, name: str) -> None:
    """Simulate a new release of the package. Raises NotApplicable if that makes no sense.

    Several names, separated by spaces, can be renamed at once.
    """
    assert package not in sys.modules, f"{package} is imported already"
    place = importlib.machinery.PathFinder.find_spec(package)
    assert place is not None
    assert place.origin is not None
    folder = Path(place.origin).parent
    texts = {path: path.read_text() for path in sorted(folder.rglob("*.py"))}
    definition = "" if kind == RENAMED else "def "
    for one in name.split():
        if not any(
            re.search(rf"{definition}\b{re.escape(one)}\b", text) for text in texts.values()
        ):
            raise NotApplicable
    if kind != RENAMED:
        for text in texts.values():
            _changed(kind, name, text)
    vars(builtins).update(_HELPERS)
    loader = importlib.machinery.SourceFileLoader
    get_code = loader.get_code

    def get_changed(self: Any, fullname: str) -> Any:
        text = texts.get(Path(self.path))
        changed = text and _changed(kind, name, text)
        if changed is None or changed == text:
            return get_code(self, fullname)  # from the cache
        return compile(changed, self.path, "exec", dont_inherit=True)

    loader.get_code = get_changed  # type: ignore[method-assign]


# Helpers that changed source calls


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


_HELPERS = {
    "anew_tuple": _packed(lambda value: (value, None)),
    "anew_tuple_value": _unpacked(lambda value: value[0]),
    "anew_property": _Property,
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
    """Let imports of a module fail although the library has loaded it."""
    sys.modules.pop(name, None)
    sys.meta_path.insert(0, _Lost(name, MODULES[how]))

"""``make measures``: the size of the code, and numbers on its complexity.

A line of code is one with a token on it that is neither a comment nor part of a docstring. With
``--check``, the status is 1 if a number is above its ceiling.
"""

import ast
import io
import re
import sys
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOPS = ("src", "dashboards", "tests")
LIBRARY = ROOT / "src/opentelemetry/instrumentation/gluellm"
_LAYOUT = {getattr(tokenize, name) for name in "COMMENT NL NEWLINE INDENT DEDENT ENDMARKER".split()}
_ON_CHANNELS = re.compile(
    r"\b(?:if|elif|and|or|not|while|for|in)\b.*\bchannels?\b|\bchannels? is\b"
)


CEILINGS = {
    "code lines of src/library": 15_090,
    "code lines of src/gluellm_diagnosis": 5_000,
    "code lines of src/gluellm_pools": 6_650,
    "code lines of dashboards": 5_000,
    "code lines of tests": 55_110,
    "code lines of tests without studies": 41_700,
    "modules in import cycles": 0,
    "attributes of a lease": 27,
    "files that assign an attribute of a lease": 11,
    "conditions on channels outside adapters/grpc": 1,
    "public names defined in more than one module": 10,
    "lines of the longest function that judges": 60,
    "lines of the longest function elsewhere in src": 113,
    "complexity of the most complex function that judges": 25,
    "functions elsewhere in src with a complexity over 25": 3,
    "words of documentation for users": 22_300,
    "words of runbooks": 4_540,
}
"""What `make lint` holds. Raising one needs a reason in the commit."""
_COMPLEX = 25
_BRANCHES = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.IfExp, ast.match_case)


def measured(source: str) -> tuple[int, int]:
    """Lines of code, and words in comments and docstrings."""
    code: set[int] = set()
    words = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            words += len(token.string.split()) - 1
        elif token.type not in _LAYOUT:
            code.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        for each in body if isinstance(body, list) else ():
            value = each.value if isinstance(each, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                code.difference_update(range(each.lineno, (each.end_lineno or 0) + 1))
                words += len(value.value.split())
    return len(code), words


def modules() -> dict[str, tuple[Path, ast.Module]]:
    """Module name -> its file and syntax tree, for everything in ``src``."""
    found = {}
    for path in sorted((ROOT / "src").rglob("*.py")):
        parts = path.relative_to(ROOT / "src").with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = path, ast.parse(path.read_text(encoding="utf-8"))
    return found


def imports(sources: dict[str, tuple[Path, ast.Module]]) -> dict[str, set[str]]:
    """Modules of ``src`` that each one imports, including imports in functions and for types."""
    graph: dict[str, set[str]] = {}
    for module, (path, tree) in sources.items():
        package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
        graph[module] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                graph[module].update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                above = package[: len(package) + 1 - node.level] if node.level else []
                base = ".".join([*above, *([node.module] if node.module else [])])
                for alias in node.names:
                    whole = f"{base}.{alias.name}"
                    graph[module].add(whole if whole in sources else base)
        graph[module] &= sources.keys() - {module}
    return graph


def in_cycles(graph: dict[str, set[str]]) -> set[str]:
    """Modules that import themselves through others."""
    reached = {module: set(imported) for module, imported in graph.items()}
    for through, beyond in reached.items():
        for others in reached.values():
            if through in others:
                others |= beyond
    return {module for module, others in reached.items() if module in others}


def lease_attributes(sources: dict[str, tuple[Path, ast.Module]]) -> tuple[set[str], set[Path]]:
    """Attributes of `Lease` and its subclasses, and the files that assign one."""
    names: set[str] = set()
    files: set[Path] = set()
    for path, tree in sources.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and node.name.endswith("Lease"):
                names.update(_declared(node))
                files.add(path)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                owner = ast.unparse(node.value)
                if owner == "lease" or owner.endswith(".lease"):
                    names.add(node.attr)
                    files.add(path)
    return names, files


def _declared(lease: ast.ClassDef) -> Iterator[str]:
    for node in ast.walk(lease):
        stored = isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        if stored and ast.unparse(node.value) == "self":
            yield node.attr
    for statement in lease.body:
        targets = getattr(statement, "targets", [getattr(statement, "target", None)])
        names = (target.id for target in targets if isinstance(target, ast.Name))
        yield from (name for name in names if name != "__slots__")


def repeated(sources: dict[str, tuple[Path, ast.Module]]) -> dict[str, int]:
    """Public functions and classes that more than one module defines."""
    counts: dict[str, int] = defaultdict(int)
    for _, tree in sources.values():
        for node in tree.body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                counts[node.name] += not node.name.startswith("_")
    return {name: count for name, count in sorted(counts.items()) if count > 1}


def conditions_on_channels() -> list[str]:
    """Lines with conditions on gRPC's channels, outside its adapter and the contract."""
    found = []
    for path in sorted(LIBRARY.rglob("*.py")):
        if "grpc" in path.parts or path.name == "semconv.py":
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            code = line.partition("#")[0]
            if _ON_CHANNELS.search(code) and ":" in code and "import" not in code:
                found.append(f"{path.relative_to(LIBRARY)}:{number}")
    return found


def functions(tree: ast.Module) -> Iterator[tuple[int, int]]:
    """Lines and complexity of each function; boolean operators and conditions count as well."""
    for function in ast.walk(tree):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            complexity = 1
            for node in ast.walk(function):
                complexity += isinstance(node, _BRANCHES)
                complexity += len(node.values) - 1 if isinstance(node, ast.BoolOp) else 0
                complexity += 1 + len(node.ifs) if isinstance(node, ast.comprehension) else 0
            yield (function.end_lineno or 0) - function.lineno + 1, complexity


def words_in(*patterns: str) -> int:
    """Words of the files that these patterns find."""
    return sum(
        len(path.read_text(encoding="utf-8").split())
        for pattern in patterns
        for path in ROOT.glob(pattern)
    )


def folders() -> dict[str, list[int]]:
    """Files, code lines and words of comments and docstrings by folder."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for top in TOPS:
        for path in sorted((ROOT / top).rglob("*.py")):
            inside = path.relative_to(ROOT / top).parent.parts
            if inside[:1] == ("opentelemetry",):
                inside = ("library", *inside[3:])
            code, words = measured(path.read_text(encoding="utf-8"))
            names = [top] + (["/".join((top, *inside[:1]))] if inside else [])
            if inside[:1] in (("studies",), ("integration",), ("library",), ("gluellm_pools",)):
                names += ["/".join((top, *inside[:2]))] if inside[1:] else []
            for name in names:
                for column, more in enumerate((1, code, words)):
                    sums[name][column] += more
    return sums


def numbers(sums: dict[str, list[int]]) -> dict[str, int]:
    """All numbers that have a ceiling."""
    sources = modules()
    names, files = lease_attributes(sources)
    judging, others = [], []
    for module, (_, tree) in sources.items():
        (judging if module.startswith("gluellm_diagnosis") else others).extend(functions(tree))
    lines = {f"code lines of {name}": row[1] for name, row in sums.items()}
    lines["code lines of tests without studies"] = sums["tests"][1] - sums["tests/studies"][1]
    found = {
        **lines,
        "modules in import cycles": len(in_cycles(imports(sources))),
        "attributes of a lease": len(names),
        "files that assign an attribute of a lease": len(files),
        "conditions on channels outside adapters/grpc": len(conditions_on_channels()),
        "public names defined in more than one module": len(repeated(sources)),
        "lines of the longest function that judges": max(lines for lines, _ in judging),
        "lines of the longest function elsewhere in src": max(lines for lines, _ in others),
        "complexity of the most complex function that judges": max(each for _, each in judging),
        "functions elsewhere in src with a complexity over 25": sum(
            complexity > _COMPLEX for _, complexity in others
        ),
        "words of documentation for users": words_in("README.md", "docs/*.md"),
        "words of runbooks": words_in("dashboards/runbooks/*.md"),
    }
    return {name: found[name] for name in CEILINGS}


def main() -> None:
    """Print a row for each folder, unless only checking, then each number with its ceiling."""
    sums, check = folders(), "--check" in sys.argv
    if not check:
        print(f"{'':32}{'files':>8}{'code':>8}{'words':>8}")
        for folder, row in sums.items():
            indent = "  " * folder.count("/")
            print(f"{indent + folder:32}" + "".join(f"{number:8}" for number in row))
        print(f"\n{'now':>8}{'ceiling':>8}")
    above = False
    for name, number in numbers(sums).items():
        ceiling = CEILINGS[name]
        above |= number > ceiling
        if number > ceiling or not check:
            mark = "  ABOVE: see CEILINGS in tests/studies/measures.py" if number > ceiling else ""
            print(f"{number:8}{ceiling:8}  {name}{mark}")
    sys.exit(int(check and above))


if __name__ == "__main__":
    main()

"""``make measures``: the size of the code.

A line of code is one with a token on it that is neither a comment nor part of a docstring.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOPS = ("src", "dashboards", "tests")
_LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


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


def main() -> None:
    """Print a row for each folder."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for top in TOPS:
        for path in sorted((ROOT / top).rglob("*.py")):
            inside = path.relative_to(ROOT / top).parent.parts
            if inside[:1] == ("opentelemetry",):
                inside = ("library", *inside[3:])
            code, words = measured(path.read_text(encoding="utf-8"))
            folders = [top] + (["/".join((top, *inside[:1]))] if inside else [])
            if inside[:1] in (("studies",), ("integration",), ("library",), ("gluellm_pools",)):
                folders += ["/".join((top, *inside[:2]))] if inside[1:] else []
            for folder in folders:
                for column, more in enumerate((1, code, words)):
                    sums[folder][column] += more
    print(f"{'':32}{'files':>8}{'code':>8}{'words':>8}")
    for folder, row in sums.items():
        indent = "  " * folder.count("/")
        print(f"{indent + folder:32}" + "".join(f"{number:8}" for number in row))


if __name__ == "__main__":
    main()

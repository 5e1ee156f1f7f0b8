"""The atomic rule of ``pool/lease.py``: what a block that nothing may interrupt doesn't contain."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[3] / "src" / "opentelemetry" / "instrumentation" / "gluellm"
MARK = re.compile(r"^ +# atomic\b", re.MULTILINE)
MARKED = [path for path in SOURCE.rglob("*.py") if MARK.search(path.read_text())]
INTERRUPTED = (
    *(ast.Call, ast.For, ast.While, ast.comprehension, ast.With, ast.Try, ast.JoinedStr),
    *(ast.List, ast.Dict, ast.Set, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow),
)
"""Where signal handlers, other threads or the garbage collector can run."""


def blocks_in(text: str) -> Iterator[list[ast.stmt]]:
    """The statements of each block, the outermost ones only."""
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    lines = text.splitlines()
    for first in (number for number, line in enumerate(lines, 1) if MARK.match(line)):
        around = max((f for f in functions if f.lineno <= first), key=lambda f: f.lineno)
        last = around.end_lineno or 0
        last = next((n for n in range(first, last) if "# end of atomic" in lines[n - 1]), last)
        inside = [
            node
            for node in ast.walk(around)
            if isinstance(node, ast.stmt) and first < node.lineno <= last
        ]
        nested = {child for node in inside for child in ast.walk(node) if child is not node}
        yield sorted((node for node in inside if node not in nested), key=lambda node: node.lineno)


def interrupted(block: list[ast.stmt]) -> list[str]:
    """What can be interrupted between the first change and the last one.

    The first statement may call something, since nothing has changed yet, and so may the last one.
    """
    return [
        ast.unparse(statement)
        for statement in block[1:-1]
        if any(isinstance(node, INTERRUPTED) for node in ast.walk(statement))
    ]


@pytest.mark.parametrize("path", MARKED, ids=lambda path: path.stem)
def test_nothing_interrupts_an_atomic_block(path):
    """Numbers that must change together do, whatever thread or signal handler comes."""
    blocks = list(blocks_in(path.read_text()))
    assert all(blocks)
    assert [found for block in blocks for found in interrupted(block)] == []


def test_a_call_and_a_product_within_a_block_are_found():
    """Otherwise the test above could not fail."""
    text = "def count(self):\n    # atomic\n    self.a = 1\n    {}\n    self.b = 1\n"
    for statement in ("self.c = clock()", "self.c = self.a * 2", "if self.a:\n        notify()"):
        (block,) = blocks_in(text.format(statement))
        assert interrupted(block) == [ast.unparse(ast.parse(statement))]

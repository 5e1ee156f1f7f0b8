"""Printing lines with text from outside, and output without a reader."""

import io

import pytest
from rich.console import Console

from gluellm_pools.screens import Terminal, print_line

FOREIGN = "svc:fire:x [bold]a[/bold] [/] :key:"


def test_foreign_text_is_printed_as_it_is(capsys):
    """Emoji names and markup stay text, also in a table's cells."""
    console = Console(file=io.StringIO(), width=80, color_system=None)
    print_line(console, FOREIGN)
    assert console.file.getvalue() == f"{FOREIGN}\n"
    Terminal().print(FOREIGN)
    assert capsys.readouterr().out == f"{FOREIGN}\n"


def test_a_reader_that_left_is_the_commands_concern():
    """rich would exit with 1; the command has a status of its own for it."""

    class Left(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    console = Terminal()
    console.file = Left()
    with pytest.raises(BrokenPipeError):
        console.print("anything")

"""Printing lines with text from outside, and output without a reader."""

import io

import pytest

from gluellm_pools.screens import Terminal

FOREIGN = "svc:fire:x [bold]a[/bold] [/] :key:"


def test_foreign_text_is_printed_as_it_is(capsys):
    """Emoji names and markup stay text, also in a table's cells."""
    console = Terminal(file=io.StringIO(), width=10)
    console.print(FOREIGN)
    assert console.file.getvalue() == f"{FOREIGN}\n"  # on one line without a terminal
    Terminal().print(FOREIGN)
    assert capsys.readouterr().out == f"{FOREIGN}\n"


def test_broken_pipe_is_raised():
    """rich would exit with 1; the command has a status of its own."""

    class Left(io.StringIO):
        def write(self, _text):
            raise BrokenPipeError

    console = Terminal()
    console.file = Left()
    with pytest.raises(BrokenPipeError):
        console.print("anything")

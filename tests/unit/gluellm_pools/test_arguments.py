"""What a command writes, wherever its output goes."""

from __future__ import annotations

import io
import sys

import pytest

from gluellm_pools.arguments import write_output


@pytest.mark.parametrize(
    ("encoding", "expected"), [("ascii", b"so \\u2192 \\xe4\n"), ("latin-1", b"so \\u2192 \xe4\n")]
)
def test_what_the_encoding_lacks_is_escaped(
    encoding: str, expected: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest stands as it is, and the command has not failed."""
    kept = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(kept, encoding=encoding))
    assert write_output("gluellm-pools", "so \u2192 \xe4")
    assert kept.getvalue() == expected

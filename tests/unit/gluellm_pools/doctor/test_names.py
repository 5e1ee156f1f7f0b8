"""What the doctor and its recorder call a program, whose arguments can be anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from gluellm_pools.doctor.recording import _script
from gluellm_pools.doctor.telling import tell


def test_script_is_named_and_an_argument_that_can_be_no_file_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script's name is kept. What is too long for one may be a question to a model."""
    for argument in ("x" * 300, "a/" * 5000, "a\0b", ""):
        assert _script([argument]) == []
        tell(tmp_path, 1, ["ask", argument], 0)
        assert "gluellm-pools doctor: ask ended with status 0" in capsys.readouterr().err
    (script := tmp_path / "ask.py").touch()
    assert _script([str(script)]) == ["ask.py"]
    tell(tmp_path, 1, ["python", str(script)], 0)
    assert "gluellm-pools doctor: python " in capsys.readouterr().err

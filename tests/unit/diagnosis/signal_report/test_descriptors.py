"""Descriptors whose numbers another file may get."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from opentelemetry.instrumentation.gluellm.diagnosis.signal_report.rendezvous import OwnDescriptor


def test_descriptor_number_of_another_file_is_not_closed(tmp_path: Path) -> None:
    """A program that becomes a daemon closes everything, and opens its own."""
    read, write = os.pipe()
    own = OwnDescriptor(write)
    assert own.number == write
    os.close(write)
    with pytest.raises(OSError, match=r"Bad file|closed"):
        own.number  # noqa: B018
    taken = os.open(tmp_path / "data", os.O_RDWR | os.O_CREAT)
    os.dup2(taken, write)
    with pytest.raises(OSError, match="another file"):
        own.number  # noqa: B018
    own.close()
    os.fstat(write)  # still open
    for descriptor in {read, write, taken}:  # they may be the same number
        os.close(descriptor)

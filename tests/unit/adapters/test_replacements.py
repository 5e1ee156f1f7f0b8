"""Replacements for constructors and closes."""

from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.adapters.replacements import after_init, before_close
from opentelemetry.instrumentation.gluellm.failures import Failures


def fails(_: Any) -> None:
    raise RuntimeError


@pytest.mark.parametrize("make", [after_init, before_close])
def test_failure_of_a_note_is_counted_and_the_original_runs(make):
    """The object's user does not notice."""
    failures, called = Failures(), []
    make(fails, failures, "kind")(called.append)(self_ := object())
    assert called == [self_]
    assert failures.counts == {"kind": 1}

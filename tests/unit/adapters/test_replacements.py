"""Replacements for constructors and closes."""

from __future__ import annotations

from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.adapters.replacements import after_init, before_close
from opentelemetry.instrumentation.gluellm.failures import Failures


def fails(_: Any) -> None:
    raise RuntimeError


def test_note_runs_after_a_constructor_and_before_a_close() -> None:
    """A note on a new object can read what the constructor has set."""
    steps: list[str] = []
    failures = Failures()
    init = after_init(lambda _: steps.append("noted"), failures, "init")
    close = before_close(lambda _: steps.append("noted"), failures, "close")
    init(lambda _, *, name: steps.append(name))(object(), name="built")
    close(lambda _: steps.append("closed"))(object())
    assert steps == ["built", "noted", "noted", "closed"]
    assert not failures.counts


@pytest.mark.parametrize("make", [after_init, before_close])
def test_failure_of_a_note_is_counted_and_the_original_runs(make: Any) -> None:
    """The object's user does not notice."""
    failures, called = Failures(), []
    make(fails, failures, "kind")(called.append)(self_ := object())
    assert called == [self_]
    assert failures.counts == {"kind": 1}

"""A target of fuzzing: inputs of one kind, and the checks for each of them."""

import itertools
import re
import time
import traceback
from abc import ABC, abstractmethod
from collections import Counter
from typing import Any, Self

import hypothesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

hypothesis.configuration.set_hypothesis_home_dir(".cache/hypothesis")
MOST_SECONDS = 20.0
"""Limit for one input. All time-outs of ``watch`` except that of a silent client are shorter, and
so is the time for the largest body; on an idle machine no input takes 4 s."""
_BATCH = 40
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_DRAWING = re.compile(r"\x1b\[(\?25[lh]|\d*[ABCDGHJK])|\r")
"""Escape sequences by which the live view moves the cursor."""


class Target(ABC):
    """A reader of untrusted bytes. Used as a context."""

    name: str

    def __init__(self) -> None:
        self.given = 0
        self.outcomes: Counter[str] = Counter()
        """Inputs by outcome, such as ``status 400``."""
        self.failures: list[str] = []
        """Each failure, with the smallest input that was found for it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:  # noqa: B027 - most have nothing to end
        """Stop what the target started."""

    @abstractmethod
    def inputs(self) -> SearchStrategy[Any]:
        """The strategy for its inputs."""

    @abstractmethod
    def take(self, given_input: Any) -> str:
        """Process one input and return its outcome. Each exception is a failure."""

    def run(self, first_seed: int, seconds: float) -> None:
        """Process inputs for ``seconds``, or until one fails."""
        deadline = time.monotonic() + seconds
        for number in itertools.count(first_seed):
            if self.failures or time.monotonic() >= deadline:
                return
            self._batch(number, deadline)

    def _batch(self, number: int, deadline: float) -> None:
        @settings(
            max_examples=_BATCH,
            database=None,
            deadline=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        )
        @seed(number)
        @given(self.inputs())
        def each(given_input: Any) -> None:
            if time.monotonic() < deadline:
                self._one(given_input)

        try:
            each()
        except Exception as error:
            text = "\n".join([*getattr(error, "__notes__", ()), *traceback.format_exception(error)])
            self.failures.append(f"{self.name}, seed {number}:\n{text}")

    def _one(self, given_input: Any) -> None:
        began = time.monotonic()
        outcome = self.take(given_input)
        spent = time.monotonic() - began
        self.given += 1
        self.outcomes[outcome] += 1
        assert spent < MOST_SECONDS, f"one input took {spent:.1f} s"


def assert_clean(text: str) -> None:
    """Assert that no control or format character of an input reaches the terminal."""
    found = _CONTROL.search(_DRAWING.sub("", text))
    assert found is None, f"found {found[0]!r} in {text[max(0, found.start() - 40) :][:80]!r}"

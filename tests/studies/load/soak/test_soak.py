"""What the soak goes by: whose an exception is, what is flat, what is drawn. The run is a step."""

from __future__ import annotations

import random

import pytest

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.pool.copies import copied
from studies.load.soak import blame
from studies.load.soak.__main__ import main
from studies.load.soak.measuring import trend
from studies.load.soak.setting import Deck, deal
from studies.load.soak.tally import Progress, Tally


def _raised_in_the_package() -> Exception:
    try:
        GlueLLMInstrumentor.instrument_client(object())
    except TypeError as error:
        return error
    raise AssertionError


def _passed_on_by_the_package() -> Exception:
    def fails() -> list[object]:
        raise OSError("not of the package")

    try:
        copied(fails)
    except OSError as error:
        return error
    raise AssertionError


def test_exception_raised_in_the_package_is_its_own() -> None:
    """Also where another came of it."""
    own = _raised_in_the_package()
    assert blame.raised_by_us(own)
    with pytest.raises(ValueError, match="later") as caught:
        raise ValueError("later") from own
    assert blame.raised_by_us(caught.value)


def test_exception_that_passes_through_is_not() -> None:
    """Every request passes through the package."""
    passed = _passed_on_by_the_package()
    assert blame.passed_us(passed)
    assert not blame.raised_by_us(passed)


def test_request_may_end_in_what_its_library_raises() -> None:
    """In nothing else, and in nothing that the package raised even if the type is right."""
    tally = Tally()
    tally.ended("httpx", "read", OSError("away"), (OSError,))
    assert not tally.unexpected
    tally.ended("httpx", "read", KeyError("what"), (OSError,))
    assert len(tally.unexpected) == 1
    tally.ended("httpx", "read", _raised_in_the_package(), (TypeError,))
    assert len(tally.ours) == 1
    assert tally.endings["httpx KeyError"] == 1


def test_growth_is_told_from_noise() -> None:
    """By medians of the last quarter and the second: a peak is none, a slope is."""
    flat = [100.0, 140, 101, 99, 100, 150, 100, 101, 99, 100, 100, 180, 101, 100, 99, 100]
    assert trend(flat, 0.05, 1).flat
    assert not trend([100.0 + number for number in range(16)], 0.05, 1).flat


def test_everything_is_drawn_before_anything_is_drawn_again() -> None:
    """A short run has had every kind of fault."""
    deck = Deck(random.Random(1), [("a",), ("b",), ("c",)])
    assert {deck.draw()[0] for _ in range(3)} == {"a", "b", "c"}


def test_every_card_is_among_the_first_of_some_deck() -> None:
    """The rare one too, and no deck has many of them; each has everything once all the same."""
    names = [("a",), ("b",), ("b",), ("c",), ("d",)]
    decks = [Deck(random.Random(n), [*names, ("rare",)] if n == 2 else names) for n in range(3)]
    deal(decks)
    drawn = [[deck.draw()[0] for _ in deck._cards] for deck in decks]
    assert {name for each in drawn for name in each[:2]} == {"a", "b", "c", "d", "rare"}
    assert all(set(each) == deck.names for each, deck in zip(drawn, decks, strict=True))


def test_worker_that_stands_still_is_seen() -> None:
    """The one that has done nothing for the longest, until it leaves."""
    progress = Progress()
    progress.step("first", "reads")
    progress.step("second", "waits")
    assert progress.slowest()["worker"] == "first"
    progress.left("first")
    progress.left("second")
    assert progress.slowest()["still"] == 0.0


def test_bad_length_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is started."""
    with pytest.raises(SystemExit) as refused:
        main(["--seconds", "1"])
    assert refused.value.code == 2
    assert "from 5 seconds" in capsys.readouterr().err

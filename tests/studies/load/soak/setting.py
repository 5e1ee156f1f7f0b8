"""What all workers of the program share."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from .places import CUTS, HANGS, Places
from .tally import Progress, Tally

WRONG_ANSWERS: Final = (*CUTS, HANGS, "busy")


@dataclass(slots=True)
class Setting:
    """Where to, until when, and what is counted."""

    places: Places
    seed: int
    pause: float
    """The longest pause of a worker between two deeds: what bounds the rate."""
    instrumented: bool
    deeds: set[str] = field(default_factory=set)
    """All that there are, each of which has to be done."""
    tally: Tally = field(default_factory=Tally)
    progress: Progress = field(default_factory=Progress)
    over: threading.Event = field(default_factory=threading.Event)

    def source(self, name: str) -> random.Random:
        """The draws of one worker."""
        return random.Random(f"{self.seed} {name}")


class Deck:
    """Draws everything once before anything a second time, so that a short run has had it all."""

    def __init__(self, rng: random.Random, cards: Sequence[Any]) -> None:
        self._rng = rng
        self.names = {card[0] for card in cards}
        self._cards = list(cards)
        self._left: list[Any] = []

    def begin_with(self, names: Collection[str]) -> None:
        """Draw these first of all, and then everything else."""
        self._left = self._rng.sample(self._cards, len(self._cards))
        for name in names:
            at = next(at for at, card in enumerate(self._left) if card[0] == name)
            self._left.append(self._left.pop(at))

    def draw(self) -> Any:
        """The next one."""
        if not self._left:
            self._left = self._rng.sample(self._cards, len(self._cards))
        return self._left.pop()


def deal(decks: Sequence[Deck]) -> None:
    """Let every card be among the first of some deck, so that a run of seconds has had it all.

    The rarest are dealt first, each to who has fewest of them.
    """
    holders = {name: [deck for deck in decks if name in deck.names] for name in _names_of(decks)}
    dealt: dict[int, list[str]] = {id(deck): [] for deck in decks}
    for name in sorted(holders, key=lambda name: (len(holders[name]), name)):
        min((dealt[id(deck)] for deck in holders[name]), key=len).append(name)
    for deck in decks:
        deck.begin_with(dealt[id(deck)])


def _names_of(decks: Sequence[Deck]) -> set[str]:
    return set().union(*(deck.names for deck in decks))


Deed = tuple[str, Callable[..., Any], tuple[Any, ...]]
"""Its name, the method of a worker that does it, and what that is told."""


def deeds_of(worker: Any, wheres: Sequence[str]) -> list[Deed]:
    """What a worker does, over and over: half of it is nothing special."""
    deeds: list[Deed] = [("burst", worker.burst, ())] * 3
    deeds += [("read", worker.read, ("ok",))] * 6
    deeds += [("read slow answers", worker.read, ("slow",))] * 2
    deeds += [("stream to the end", worker.stream, ())] * 3
    deeds += [(f"answer: {answer}", worker.read, (answer,)) for answer in WRONG_ANSWERS]
    deeds += [(f"stream: {answer}", worker.stream, (answer,)) for answer in CUTS]
    deeds += [(f"to: {where}", worker.elsewhere, (where,)) for where in wheres]
    deeds += [
        ("stream abandoned", worker.abandon, (1,)),
        ("stream never iterated", worker.abandon, (0,)),
        ("stream kept for a while", worker.keep, ()),
        ("pool timeout", worker.pool_timeout, ()),
        ("client per call, closed", worker.client_per_call, (True,)),
        ("client per call, left", worker.client_per_call, (False,)),
        ("pool closed in flight", worker.close_in_flight, ()),
        ("client handed in by itself", worker.hand_in, ()),
    ]
    return deeds

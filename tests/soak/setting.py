"""What all workers of the program share."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
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

    def draw(self) -> Any:
        """The next one."""
        if not self._left:
            self._left = self._rng.sample(self._cards, len(self._cards))
        return self._left.pop()


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

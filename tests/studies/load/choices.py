"""Comparing counts with what is expected, where one of several values may be right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from typing import Any


class Choices:
    """Values of which one each is due, where a set of one is certain and None is no value."""

    def __init__(self) -> None:
        self.certain: Counter[Any] = Counter()
        self.open: Counter[frozenset[Any]] = Counter()

    @classmethod
    def of(cls, choices: Iterable[frozenset[Any]]) -> Choices:
        """All of these."""
        made = cls()
        for choice in choices:
            made.add(choice)
        return made

    def add(self, choice: frozenset[Any]) -> None:
        """One request's."""
        if len(choice) > 1:
            self.open[choice] += 1
        else:
            self.certain.update(value for value in choice if value is not None)

    def difference(self, reported: Counter[Any]) -> Counter[Hashable]:
        """What was reported too often (positive) or too rarely (negative), at the least."""
        rest = Counter(reported)
        rest.subtract(self.certain)
        choices = sorted(self.open.elements(), key=len)
        taken: dict[int, Any] = {}

        def give(number: int, tried: set[Any]) -> bool:
            """Give a value to one that has a choice, by another's choosing anew if need be."""
            for value in choices[number]:
                if value is None or value in tried:
                    continue
                tried.add(value)
                holders = [other for other, had in taken.items() if had == value]
                if len(holders) < rest[value] or any(give(other, tried) for other in holders):
                    taken[number] = value
                    return True
            return False

        for number, choice in enumerate(choices):
            if not give(number, set()) and None not in choice:
                taken[number] = min(choice, key=str)  # one too few of it was reported
        rest.subtract(taken.values())
        return Counter({value: count for value, count in rest.items() if count})

    def settle(self, reported: Counter[Any]) -> None:
        """What was reported is right: it is certain from now on."""
        self.certain, self.open = Counter(reported), Counter()

"""The highest value of a window that moves with time."""

from __future__ import annotations

_SLICES = 5


class Peak:
    """The highest value within a window, kept in slices of the window.

    Reading resets nothing, so several readers with different intervals see the same. Slices are
    turned when the value rises and when it is read, but not when it falls, so a high value may be
    in an earlier slice than the one in which it ended. For that reason one slice more than the
    window needs is kept, besides the current one.
    """

    __slots__ = ("_slices", "_width", "end", "high", "value")

    def __init__(self, window: int, now: int) -> None:
        self._width = max(window // _SLICES, 1)
        self._slices = [0] * (_SLICES + 1)
        self.end = now + self._width
        """When the current slice ends."""
        self.high = 0
        """Highest value in the current slice."""
        self.value = 0
        """Current value. Code that raises it calls `turn` first if the slice has ended, and raises
        `high` as well."""

    def raise_to(self, value: int, now: int) -> None:
        """Record a value that exists only at this moment."""
        if now >= self.end:
            self.turn(now)
        if value > self.high:
            self.high = value

    def highest(self, now: int) -> int:
        """Return the highest value within the window."""
        if now >= self.end:
            self.turn(now)
        return max(self.high, *self._slices)

    def turn(self, now: int) -> None:
        """Begin the slice that contains ``now``."""
        before = self.end
        turns = (now - before) // self._width + 1
        end = before + turns * self._width
        # atomic. Other threads, and signal handlers that take a snapshot, may run this at the same
        # time, and only the first of them may turn. They may also run in the division above.
        if turns < 1 or self.end != before:
            return
        self.end = end
        high, self.high = self.high, self.value
        # end of atomic
        # The slice that ended has its own high. In any slice since then the value was constant.
        held = [self.value] * min(turns - 1, _SLICES + 1)
        self._slices = [*held, high, *self._slices][: _SLICES + 1]

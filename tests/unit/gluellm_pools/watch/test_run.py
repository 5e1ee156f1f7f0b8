"""A view that fails once goes on, and says that it failed."""

import errno

import pytest

from gluellm_pools.watch.display import PlainScreen
from gluellm_pools.watch.run import _Guarded

from .watched import URL, Watched


class Failing(PlainScreen):
    """A screen that can't draw, as long as it has an error."""

    error: Exception | None = OverflowError("cannot convert\x1b float infinity to integer")

    def show(self) -> None:
        if self.error is not None:
            raise self.error
        super().show()


@pytest.fixture
def watched() -> Watched:
    return Watched(120)


def screen_of(watched: Watched) -> Failing:
    return Failing(watched.console, URL, watched.intake, watched.notes, lambda: watched.now)


def test_a_frame_that_fails_is_reported_once_and_the_next_is_shown(watched):
    """One bad number must not end what others are watched with."""
    screen = screen_of(watched)
    with _Guarded(screen, watched.console) as guarded:
        watched.said()
        guarded.show()
        guarded.show()
        (line,) = watched.said()
        assert "can't be shown" in line
        assert "OverflowError: cannot convert? float infinity" in line
        watched.export("openai")
        screen.error = None
        guarded.show()
        assert watched.said()[0].startswith("shop")


def test_unwritable_output_ends_the_view(watched):
    screen = screen_of(watched)
    screen.error = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="No space left"):
        _Guarded(screen, watched.console).show()

"""Copies that are made while others change what is copied."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator

import pytest

from opentelemetry.instrumentation.gluellm.pool.copies import copied, copied_queue


class Changing(deque[int]):
    """A queue that is changed within each iteration, as without the interpreter lock."""

    def __iter__(self) -> Iterator[int]:
        for item in super().__iter__():
            self.append(item)
            yield item


def test_queue_that_changes_within_every_copying_is_read_one_by_one() -> None:
    """Nothing is missing of what was there; one that gets shorter is copied as far as it goes."""

    class Emptied(Changing):
        def __getitem__(self, index: int) -> int:  # type: ignore[override]
            item = super().__getitem__(index)
            self.clear()
            return item

    queue = Changing((1, 2, 3))
    with pytest.raises(RuntimeError):
        tuple(queue)
    assert copied_queue(queue)[:3] == (1, 2, 3)
    assert copied_queue(Emptied((1, 2, 3))) == (1,)


@pytest.mark.parametrize("copy", [lambda d, q: copied(d.items), lambda d, q: copied_queue(q)])
def test_copies_beside_threads_that_change_it_never_fail(
    copy: Callable[[dict[int, int], deque[int]], tuple[object, ...]],
) -> None:
    """With the interpreter lock and without it; and what nobody changes is in each copy."""
    numbers = dict.fromkeys(range(300), 0)
    queue = deque(range(3000))
    over = threading.Event()

    def change(own: int) -> None:
        while not over.is_set():
            numbers[own] = 0
            del numbers[own]
            queue.append(own)
            queue.popleft()

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=change, args=(1000 + n,)) for n in range(3)]
    try:
        for thread in threads:
            thread.start()
        for _ in range(100):
            assert len(copy(numbers, queue)) >= 300
    finally:
        sys.setswitchinterval(before)
        over.set()
        for thread in threads:
            thread.join(30)

"""Processes that play runs, one after the other, so that imports cost once and runs don't meet."""

from __future__ import annotations

import multiprocessing
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from .causes import cause_of
from .drawing import draw
from .playing import STARVED, Result, play, prepare
from .verdicts import NONE

_TRIES = 3
_LONGEST = 60.0
"""Seconds for a run. A process that takes longer hangs, and is replaced."""
_READY = 120.0


def score(seed: int, indices: Iterable[int], workers: int) -> Iterator[Result]:
    """Play these runs, and give the results as they come.

    A run that the machine has kept from the processor is played again, whatever its verdict.
    """
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    count = 0
    for index in indices:
        todo.put(index)
        count += 1
    results: queue.SimpleQueue[Result | BaseException] = queue.SimpleQueue()
    threads = [
        threading.Thread(target=_drive, args=(seed, todo, results.put), daemon=True)
        for _ in range(min(workers, count))
    ]
    for thread in threads:
        thread.start()
    for _ in range(count):
        result = results.get()
        if isinstance(result, BaseException):
            raise result
        yield result


def _drive(
    seed: int,
    todo: queue.SimpleQueue[int],
    put: Callable[[Result | BaseException], None],
) -> None:
    worker: _Worker | None = None
    try:
        while True:
            index = todo.get_nowait()
            for tries in range(1, _TRIES + 1):
                worker = worker or _Worker()
                result = worker.play(seed, index)
                if result is None:
                    worker.end()
                    worker = None
                    cause = cause_of(seed, index)
                    result = Result(index=index, cause=cause, verdict=NONE, plan="")
                if result.starved < STARVED or tries == _TRIES:
                    put(replace(result, tries=tries))
                    break
    except queue.Empty:
        pass
    except BaseException as error:
        put(error)
    finally:
        if worker is not None:
            worker.end()


class _Worker:
    """One process."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process: SpawnProcess = context.Process(target=_work, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        if not self._pipe.poll(_READY):
            raise RuntimeError("a worker process did not start")
        self._pipe.recv()

    def play(self, seed: int, index: int) -> Result | None:
        """The result of a run; None when it hangs, or the process dies of it."""
        try:
            self._pipe.send((seed, index))
            if not self._pipe.poll(_LONGEST):
                return None
            result: Result = self._pipe.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return None
        return result

    def end(self) -> None:
        self._pipe.close()
        self._process.join(timeout=0 if self._process.exitcode is None else 1)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _work(pipe: Connection) -> None:
    prepare()
    pipe.send("ready")
    while True:
        try:
            seed, index = pipe.recv()
        except EOFError:
            return
        pipe.send(play(draw(seed, index)))

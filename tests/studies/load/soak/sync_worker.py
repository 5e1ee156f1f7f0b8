"""One worker of a thread: the same with a library's blocking clients."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

from .clients import SyncClient, SyncLibrary, Wish
from .setting import Deck, Setting, deeds_of

_CLIENT_LASTS = (10, 60)
_BURST = 8


class SyncWorker:
    """Has further threads for what goes on at once, and waits for them."""

    def __init__(self, setting: Setting, library: SyncLibrary, name: str) -> None:
        self.name = name
        self._setting = setting
        self._library = library
        self._rng = setting.source(name)
        self.deck = Deck(self._rng, deeds_of(self, library.wheres))
        setting.deeds |= self.deck.names
        self._client: Any = None
        self._lasts = 0
        self._deed = ""

    def work(self) -> None:
        """One deed after the other, until it is over."""
        while not self._setting.over.is_set():
            if self._lasts <= 0:
                if self._client is not None and self._rng.random() < 0.5:
                    self._close(self._client)
                self._client = self._new()
                self._lasts = self._rng.randint(*_CLIENT_LASTS)
            self._lasts -= 1
            self._deed, method, arguments = self.deck.draw()
            self._setting.progress.step(self.name, self._deed)
            method(*arguments)
            self._setting.tally.did(self._deed)
            time.sleep(self._rng.uniform(0, self._setting.pause))
        if self._client is not None:
            self._close(self._client)
        self._client = None
        self._setting.progress.left(self.name)

    # Use

    def read(self, answer: str, client: SyncClient | None = None) -> None:
        """One whole request."""
        chosen: SyncClient = client or self._client
        self._attempt(lambda: chosen.get(answer))

    def burst(self) -> None:
        """More at once than the pool has connections."""
        self._at_once(
            [lambda n=number: self.read("slow" if n % 2 else "ok") for number in range(_BURST)]
        )

    def stream(self, answer: str = "chunks") -> None:
        """Read to the end, piece by piece."""
        self._attempt(lambda: _iterate(self._client, answer, None))

    def elsewhere(self, where: str) -> None:
        """Two requests of a client for another place, which is closed or not."""
        client = self._new(where=where)
        for _ in range(2):
            self.read("ok", client)
        if self._rng.random() < 0.5:
            self._close(client)

    # Misuse

    def abandon(self, chunks: int) -> None:
        """Take a stream and drop it after so many pieces."""
        self._attempt(lambda: _iterate(self._client, "chunks", chunks))

    def keep(self) -> None:
        """Hold a stream without reading it, longer than the threshold for leaks now and then."""
        kept: list[Any] = []
        client = self._new()
        self._attempt(lambda: kept.append(client.open("chunks")))
        time.sleep(self._rng.uniform(0.2, 4.5))
        kept.clear()
        self._close(client)

    def hand_in(self) -> None:
        """A client under a name of its own, and taken out again or not."""
        client = self._new()
        name = f"of my own {self._rng.randint(1, 3)}"
        if self._setting.instrumented:
            GlueLLMInstrumentor.instrument_client(client.raw, name)
        self.read("ok", client)
        if self._setting.instrumented and self._rng.random() < 0.5:
            GlueLLMInstrumentor.uninstrument_client(client.raw)
            self.read("ok", client)
        if self._rng.random() < 0.5:
            self._close(client)

    def pool_timeout(self) -> None:
        """Three requests of a pool with one connection, and no time to wait."""
        client = self._new(connections=1, pool_timeout=0.05)
        self._at_once([lambda: self.read("slow", client)] * 3)
        self._close(client)

    def client_per_call(self, closed: bool) -> None:
        """As code does that builds a client where it needs one."""
        for _ in range(4):
            client = self._new()
            self.read("ok", client)
            if closed:
                self._close(client)

    def close_in_flight(self) -> None:
        """Close a client while other threads are in the middle of its requests."""
        client = self._new(connections=2)
        moment = self._rng.uniform(0, 0.15)

        def close() -> None:
            time.sleep(moment)
            self._close(client)

        answers = ("slow", "chunks", "slow", "chunks")
        self._at_once(
            [
                *(
                    lambda a=answer: self._attempt(lambda: _iterate(client, a, None))
                    for answer in answers
                ),
                close,
            ]
        )

    # What they have in common

    def _new(self, **wish: Any) -> SyncClient:
        return self._library(Wish(places=self._setting.places, **wish))

    def _close(self, client: SyncClient) -> None:
        self._attempt(client.close, counts=False)

    def _at_once(self, actions: list[Callable[[], None]]) -> None:
        threads = [threading.Thread(target=action, daemon=True) for action in actions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _attempt(self, action: Callable[[], Any], *, counts: bool = True) -> None:
        tally = self._setting.tally
        if counts:
            tally.sent(self._library.name)
        try:
            action()
        except Exception as error:
            tally.ended(self._library.name, self._deed, error, self._library.expected)


def _iterate(client: SyncClient, answer: str, chunks: int | None) -> None:
    stream = client.open(answer)
    if chunks == 0:
        return
    for taken, _ in enumerate(stream, 1):
        if taken == chunks:
            break

"""What a worker does with a library's clients: use and misuse, in turn."""

import asyncio
import time
from typing import Any, Final

import trio

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from studies.load.servers import Sent
from support.clients import Runner
from support.waiting import wait_until

from .clients import CUTS, EXPECTED, TIMEOUT, Client, Servers
from .record import Deck, Record

_CLIENT_LASTS: Final = (10, 60)
_PAUSE: Final = 0.25
"""The longest pause between two actions; it limits the rate."""
_PATIENCE: Final = 60.0
_CANCELLED: Final = (asyncio.CancelledError, trio.Cancelled, BaseExceptionGroup)


class Worker:
    """A thread that drives one library's clients, in one event loop after the other."""

    def __init__(self, record: Record, servers: Servers, group: str, name: str) -> None:
        self.name = f"{group}: {name}"
        self._library = name
        self._record = record
        self._servers = servers
        self._rng = record.source(self.name)
        self._runner: Any = None
        self._client: Any = None
        self._lasts = 0
        self._action = ""
        self._deck = Deck(record, self.name, self._actions(is_async=group != "sync"))

    def _actions(self, *, is_async: bool) -> list[tuple[Any, ...]]:
        """Name, method and arguments of each action. Half of them are ordinary."""
        wheres = self._servers.wheres(self._library)
        actions: list[tuple[Any, ...]] = [("burst", self._burst, ("ok", "slow") * 4)] * 3
        actions += [("read", self._burst, ("ok",))] * 6
        actions += [("read of a slow answer", self._burst, ("slow",))] * 2
        actions += [("stream to its end", self._burst, ("chunks",))] * 3
        actions += [(f"answer: {one}", self._burst, (one,)) for one in (*CUTS, "hangs", "busy")]
        actions += [(f"to {where}", self._elsewhere, where) for where in wheres]
        actions += [
            ("stream abandoned", self._abandon, 1),
            ("stream never read", self._abandon, 0),
            ("stream kept for a while", self._keep),
            ("pool timeout", self._pool_timeout),
            ("client per call, closed", self._client_per_call, 1.0),
            ("client per call, left", self._client_per_call, 0.0),
            ("pool closed with requests in flight", self._close_in_flight),
            ("client instrumented by itself", self._instrument_client),
        ]
        if is_async:
            silent = next((where for where in wheres if "silent" in where), "")
            actions += [
                ("cancelled in a read", self._cancel, "slow"),
                ("cancelled in a stream", self._cancel, "chunks"),
                ("cancelled in a queue", self._cancel_queued),
                ("cancelled in a set-up", self._cancel, "ok", silent),
                ("event loop blocked", self._block),
            ]
        return actions

    def work(self, runner: Runner, until: float) -> None:
        """Do one action after the other. What is open at the end is closed, or left open."""
        self._runner = runner
        try:
            while not self._record.over.is_set() and time.monotonic() < until:
                if self._lasts <= 0:
                    self._close(self._client, 0.5)
                    self._client, self._lasts = self._new(), self._rng.randint(*_CLIENT_LASTS)
                self._lasts -= 1
                self._action, method, *arguments = self._deck.draw()
                self._record.begin(self.name, self._action)
                method(*arguments)
                time.sleep(self._rng.uniform(0, _PAUSE))
            self._close(self._client, 0.7)
        finally:
            self._record.begin(self.name)
            self._client, self._lasts = None, 0

    # Use

    def _burst(self, answers: tuple[str, ...], client: Client | None = None) -> None:
        """Read these answers at once; they may be more than the pool has connections."""
        self._finish(*[self._read(answer, client) for answer in answers])

    def _elsewhere(self, where: str) -> None:
        client = self._new(where=where)
        for _ in range(2):
            self._burst(("ok",), client)
        self._close(client, 0.5)

    # Misuse

    def _abandon(self, chunks: int) -> None:
        """Drop a stream after ``chunks`` chunks."""
        sent = self._sent(self._client.send("chunks"))
        try:
            sent.exchange.head()
            for _ in range(chunks):
                sent.exchange.chunk()
            sent.exchange.abandon()
        except (Exception, asyncio.CancelledError) as error:
            self._ended(error)
        sent.exchange.wait(_PATIENCE)

    def _keep(self) -> None:
        """Hold a stream unread, sometimes for longer than the threshold of a leak."""
        client = self._new()
        sent = self._sent(client.send("chunks"))
        time.sleep(self._rng.uniform(0.2, 4.5))
        sent.exchange._step("abandon")
        self._finish(sent)
        self._close(client)

    def _instrument_client(self) -> None:
        client = self._new()
        self._burst(("ok",), client)
        if client.raw is not None:
            name = f"named {self._rng.randint(1, 3)}"
            GlueLLMInstrumentor.instrument_client(client.raw, name)
            self._burst(("ok",), client)
            if self._rng.random() < 0.5:
                GlueLLMInstrumentor.uninstrument_client(client.raw)
                self._burst(("ok",), client)
        self._close(client, 0.5)

    def _pool_timeout(self) -> None:
        client = self._new(connections=1, pool=0.05)
        self._burst(("slow",) * 3, client)
        self._close(client)

    def _client_per_call(self, closed: float) -> None:
        for _ in range(4):
            client = self._new()
            self._burst(("ok",), client)
            self._close(client, closed)

    def _close_in_flight(self) -> None:
        """Close a client while some of its requests are in flight and others are queued."""
        client = self._new(connections=2)
        sent = [self._read(answer, client) for answer in ("slow", "chunks") * 2]
        time.sleep(self._rng.uniform(0, 0.15))
        self._close(client)
        if self._library == "aiohttp":
            # A read from a closed connector never ends, with the instrumentation or without it.
            time.sleep(2 * TIMEOUT)
            for one in sent:
                self._give_up(one)
        else:
            self._finish(*sent)

    def _cancel(self, answer: str, where: str | None = None) -> None:
        """Cancel a request; with ``where``, while its connection is set up."""
        client = None if where is None else self._new(where=where)
        sent = self._read(answer, client)
        time.sleep(self._rng.uniform(0, 0.3))
        self._give_up(sent)
        self._close(client)

    def _cancel_queued(self) -> None:
        """Cancel five requests of a pool with one connection, one after the other."""
        client = self._new(connections=1)
        sent = [self._read("slow", client) for _ in range(5)]
        self._rng.shuffle(sent)
        for one in sent:
            time.sleep(self._rng.uniform(0, 0.1))
            self._give_up(one)
        self._close(client, 0.5)

    def _block(self) -> None:
        """Block the event loop with a request in flight."""
        sent = self._read("slow")
        self._runner.portal.call(time.sleep, 0.3)
        self._finish(sent)

    # Helpers of the actions

    def _new(self, **wish: Any) -> Client:
        return self._servers.client(self._library, self._runner, **wish)

    def _close(self, client: Client | None, chance: float = 1.0) -> None:
        if client is not None and self._rng.random() < chance:
            try:
                client.under_test.close()
            except Exception as error:
                self._ended(error)

    def _read(self, answer: str, client: Client | None = None) -> Sent:
        sent = self._sent((client or self._client).send(answer))
        sent.reading = sent.exchange.begin_read()
        return sent

    def _sent(self, sent: Sent) -> Sent:
        self._record.count(self._record.requests, self._library)
        return sent

    def _finish(self, *several: Sent) -> None:
        """Wait until these requests are over, and record their errors."""
        for sent in several:
            sent.exchange.wait(_PATIENCE)
            if (error := sent.error) is not None:
                self._ended(error)
            sent.forget_error()

    def _give_up(self, sent: Sent) -> None:
        wait_until(lambda: sent.exchange.entered, "the request is sent", _PATIENCE)
        over = sent.is_over
        sent.exchange.cancel()
        error = sent.error
        if not over and isinstance(error, _CANCELLED):
            self._record.count(self._record.endings, f"{self._library} cancelled")
        elif error is not None:
            self._ended(error, *_CANCELLED)
        sent.forget_error()

    def _ended(self, error: BaseException, *more: type) -> None:
        self._record.ended(self._library, self._action, error, *EXPECTED, *more)

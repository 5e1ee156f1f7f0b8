"""What is done to the whole process meanwhile, from a thread of its own."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, Snapshot, diagnose, snapshot

from .exporting import Sdk
from .record import Deck, Record

_SIGNAL: Final = "SIGUSR2"
_PAUSE: Final = (0.3, 1.5)
_STRESS: Final = 2.5
_NAME: Final = "disturbances"


class Disturbances:
    """Snapshots, signals, re-instrumentation, and stress for the interpreter."""

    def __init__(self, record: Record, sdk: Sdk) -> None:
        self._record = record
        self._sdk = sdk
        self._rng = record.source(_NAME)
        self._previous: Snapshot | None = None
        self._again = threading.Event()
        """Set while the main thread has to uninstrument and instrument."""
        collecting = gc.set_threshold, 1, gc.get_threshold()[0]
        switching = sys.setswitchinterval, 1e-6, sys.getswitchinterval()
        deeds: list[tuple[str, Callable[[], Any]]] = [
            ("collection of metrics by another thread", sdk.reader.get_metrics_data),
            ("period of garbage collections", partial(self._stress, *collecting)),
            ("period of thread switches", partial(self._stress, *switching)),
            ("full garbage collection", gc.collect),
        ]
        if record.instrumented:
            deeds += [
                *[("snapshot", self._snapshot)] * 2,
                ("report by a signal", self._signal),
                ("uninstrument and instrument", self._again.set),
            ]
        self._deck = Deck(self._rng, deeds)
        record.deeds |= self._deck.names

    def run(self) -> None:
        """One after the other, until the run is over."""
        while not self._record.over.wait(self._rng.uniform(*_PAUSE)):
            name, method = self._deck.draw()
            self._record.begin(_NAME, name)
            try:
                method()
            except Exception as error:
                self._record.ended(_NAME, name, error)
        self._record.begin(_NAME)

    def _snapshot(self) -> None:
        try:
            now = snapshot()
        except RuntimeError:  # uninstrumented just now
            return
        str(now)
        now.to_dict()
        for finding in diagnose(now, self._previous):
            str(finding)
        self._previous = now

    def _signal(self) -> None:
        # While it is off, the signal would end the program, as it does without a handler.
        while self._again.is_set() and not self._record.over.wait(0.05):
            pass
        if not self._again.is_set():
            os.kill(os.getpid(), signal.Signals[_SIGNAL])

    def in_main_thread(self) -> None:
        """What only that thread can do, because it sets a signal handler."""
        if self._again.is_set():
            GlueLLMInstrumentor().uninstrument()
            time.sleep(0.05)
            instrument(
                self._sdk,
                metrics=self._rng.choice(("lean", "full")),
                loop_lag=self._rng.random() < 0.7,
                leak_stacks=self._rng.random() < 0.3,
                max_origins=self._rng.choice((4, 20)),
            )
            self._again.clear()

    def _stress(self, change: Callable[[Any], Any], value: Any, usual: Any) -> None:
        change(value)
        self._record.over.wait(_STRESS)
        change(usual)


def instrument(sdk: Sdk, **more: Any) -> None:
    """Instrument with everything on, or with other settings."""
    settings: dict[str, Any] = {
        "scope": "all",
        "metrics": "full",
        "model_attributes": True,
        "time_in_queue": True,
        "span_min_duration": 0.0,
        "leak_threshold": 2.0,
        "snapshot_signal": _SIGNAL,
        **more,
    }
    GlueLLMInstrumentor().instrument(
        meter_provider=sdk.meters, tracer_provider=sdk.tracers, **settings
    )

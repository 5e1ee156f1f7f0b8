"""What is done to the whole process meanwhile, from a thread of its own."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from opentelemetry.instrumentation.gluellm import (
    GlueLLMInstrumentor,
    Snapshot,
    diagnose,
    snapshot,
)

from .exporting import Sdk
from .setting import Deck, Setting

SIGNAL = "SIGUSR2"
_PAUSE = (0.3, 1.5)
_STRESS = 2.5
_NAME = "disturbances"


class Disturbances:
    """Where nothing is instrumented, what has to do with the package is left out."""

    def __init__(self, setting: Setting, sdk: Sdk) -> None:
        self._setting = setting
        self._sdk = sdk
        self._rng = setting.source(_NAME)
        self._thread = threading.Thread(target=self._run, name=_NAME, daemon=True)
        self._previous: Snapshot | None = None
        self._again_please = threading.Event()
        ours: list[tuple[str, Callable[[], Any]]] = [
            ("snapshot", self._snapshot),
            ("snapshot", self._snapshot),
            ("report by a signal", self._signal),
            ("uninstrument and instrument", self._again),
        ]
        self._deck = Deck(
            self._rng,
            [
                *(ours if setting.instrumented else ()),
                ("collection of metrics from elsewhere", self._collect),
                ("period of garbage collections", self._stress_collector),
                ("period of thread switches", self._switch_threads),
                ("whole garbage collection", gc.collect),
            ],
        )
        setting.deeds |= self._deck.names

    def begin(self) -> None:
        """Until the setting is over."""
        self._thread.start()

    def end(self) -> None:
        """Wait for the last one."""
        self._thread.join()

    def _run(self) -> None:
        while not self._setting.over.wait(self._rng.uniform(*_PAUSE)):
            name, method = self._deck.draw()
            self._setting.progress.step(_NAME, name)
            try:
                method()
            except Exception as error:
                self._setting.tally.ended(_NAME, name, error, ())
            self._setting.tally.did(name)
        self._setting.progress.left(_NAME)

    def _snapshot(self) -> None:
        try:
            now = snapshot()
        except RuntimeError:  # it is uninstrumented just now
            return
        str(now)
        now.to_dict()
        for finding in diagnose(now, self._previous):
            str(finding)
        self._previous = now

    def _signal(self) -> None:
        # While it is off, the signal would end the program, as it does without a handler.
        while self._again_please.is_set() and not self._setting.over.wait(0.05):
            pass
        if not self._again_please.is_set():
            os.kill(os.getpid(), signal.Signals[SIGNAL])

    def in_main_thread(self) -> None:
        """What only that thread can do: a handler of signals can be set in no other."""
        if self._again_please.is_set():
            GlueLLMInstrumentor().uninstrument()
            time.sleep(0.05)
            instrument(
                self._sdk,
                metrics=self._rng.choice(("lean", "full")),
                loop_lag=self._rng.random() < 0.7,
                leak_stacks=self._rng.random() < 0.3,
                max_origins=self._rng.choice((4, 20)),
            )
            self._again_please.clear()

    def _again(self) -> None:
        self._again_please.set()

    def _collect(self) -> None:
        self._sdk.reader.get_metrics_data()

    def _stress_collector(self) -> None:
        usual = gc.get_threshold()
        gc.set_threshold(1)
        try:
            self._setting.over.wait(_STRESS)
        finally:
            gc.set_threshold(*usual)

    def _switch_threads(self) -> None:
        usual = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            self._setting.over.wait(_STRESS)
        finally:
            sys.setswitchinterval(usual)


def instrument(sdk: Sdk, **more: Any) -> None:
    """With everything on that can be, or with other settings."""
    settings: dict[str, Any] = {
        "scope": "all",
        "metrics": "full",
        "model_attributes": True,
        "time_in_queue": True,
        "span_min_duration": 0.0,
        "leak_threshold": 2.0,
        "snapshot_signal": SIGNAL,
        **more,
    }
    GlueLLMInstrumentor().instrument(
        meter_provider=sdk.meters, tracer_provider=sdk.tracers, **settings
    )

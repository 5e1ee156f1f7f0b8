"""Compare the telemetry that a scripted load exports with the files in ``golden/``.

``WRITE_GOLDEN=1 python -m pytest tests/contract/test_golden.py`` rewrites the files. A line is a
span, or a point that changed since the scenario's previous moment. Points start at 0; those that
are exported as 0 are recorded in ``served`` only. In attributes, P means pool name and library, O
means P with address and port of the first server, O2 with those of the second.

A duration is recorded as "0" or ">0", and a histogram of durations as its number of values. "any"
is a value that depends on the machine or on the library's version. A line names its runners if it
does not apply to all of them.
"""

import contextlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clients import Runner
from support.installation import instrumented
from support.libraries import Library
from support.listener import Listen
from support.network import Certificates
from support.telemetry import Telemetry
from support.waiting import wait_until

from .cells import LIBRARIES, MODES
from .golden_load import FULL, SCENARIOS, Play, any_llm_calls, faults, scenarios

FOLDER = Path(__file__).parent / "golden"
EXACT = (semconv.ACQUIRE_TIMEOUT.name,)
"""Metrics in seconds whose exact value the load determines."""
UNSTEADY = ("gluellm.event_loop.", semconv.CHANNEL_TIME.name, semconv.HOOK_MISSING.name)
"""Prefixes of names whose values depend on the machine or on the library's version."""

CALL_TIME = semconv.SPAN_CALL_TIME.format(stage="")
"""Prefix of attributes that are omitted below 1 ms, which depends on the machine."""


def _amount(value: float, exact: bool) -> str:
    return f"{value:g}" if exact or not value else ">0"


class Recording:
    """Telemetry of one scenario, as lines of text."""

    def __init__(self, telemetry: Telemetry, *libraries: str, births: bool = False) -> None:
        self.telemetry, self.libraries, self.births = telemetry, libraries, births
        self.ports: dict[int, str] = {}
        self.lines: list[str] = []
        self.instruments: set[str] = set()
        self._before: dict[str, str] = {}
        self._entered = set[str]()

    def name_port(self, port: int | None) -> None:
        """Number a port in the order of first use."""
        self.ports.setdefault(port or 0, f"PORT{len(self.ports) + 1}")

    def take(self, moment: str) -> None:
        """Add the points that changed since the previous moment."""
        points = dict(self._points())
        for key in [key for key in points if re.search(r"phase=(queued|reading)\b", key)]:
            time = key.replace(semconv.REQUEST_CURRENT.name, semconv.REQUEST_TIME.name)
            if time != key and points[key] != "0":
                self._entered.add(time)
            # A phase that no moment shows takes 0 or almost 0, at random.
            if key.startswith(semconv.REQUEST_TIME.name) and key not in self._entered:
                del points[key]
        for key, value in points.items():
            if self._before.get(key, "" if self.births else "0") != value:
                self.lines.append(f"{moment}: {key} = {value}")
        gone = self._before.keys() - points.keys()
        self.lines += [f"{moment}: {key} is gone" for key in gone]
        self._before = points

    def add_spans(self) -> None:
        """Add the spans, with their parents and links by name."""
        spans = self.telemetry.spans()
        names = {span.context.span_id: self._text(span.name) for span in spans}
        for text, number in Counter(self._span(span, names) for span in spans).items():
            self.lines.append(text if number == 1 else f"{text}, {number} times")

    def _points(self) -> Iterator[tuple[str, str]]:
        data = self.telemetry.reader.get_metrics_data()
        for scope in data.resource_metrics[0].scope_metrics if data else ():
            self.instruments.add(f"scope {scope.scope.name} {scope.schema_url}")
            for metric in scope.metrics:
                shape = type(metric.data).__name__
                if getattr(metric.data, "is_monotonic", False):
                    shape = f"monotonic {shape}"
                for point in metric.data.data_points:
                    attributes = dict(point.attributes or {})
                    keys = (semconv.POOL_LIBRARY, semconv.HOOK_LIBRARY)
                    own = [attributes[key] for key in keys if key in attributes]
                    library = next(iter((*own, *self.libraries)), None)
                    unsteady = metric.name.startswith(UNSTEADY)
                    if library not in self.libraries or (unsteady and not self.births):
                        continue
                    bounds = getattr(point, "explicit_bounds", "")
                    self.instruments.add(f"{metric.name} {shape} {metric.unit} {bounds}".rstrip())
                    key = f"{metric.name} {self._attributes(attributes)}".strip()
                    yield key, "any" if unsteady else self._value(metric, point)

    def _value(self, metric: Any, point: Any) -> str:
        exact = metric.unit != "s" or metric.name in EXACT
        if hasattr(point, "count"):
            return f"{point.count} values, sum {_amount(point.sum, exact)}"
        return _amount(point.value, exact)

    def _span(self, span: ReadableSpan, names: dict[int, str]) -> str:
        related = [("child of", span.parent), *(("linked to", link.context) for link in span.links)]
        relations = [f"{how} [{names[context.span_id]}]" for how, context in related if context]
        events = [f"event {event.name}" for event in span.events]
        status = f"{span.status.status_code.name} {span.status.description or ''}".strip()
        attributes = self._attributes(
            {  # which steps of a set-up take 1 ms depends on the machine
                key: value
                for key, value in (span.attributes or {}).items()
                if not key.startswith(semconv.SPAN_STEP_TIME)
            }
        )
        parts = [self._text(span.name), span.kind.name, status, attributes, *relations, *events]
        return "span: " + ", ".join(filter(None, parts))

    def _attributes(self, attributes: dict[str, Any]) -> str:
        def remove(**usual: Any) -> bool:
            usual = {getattr(semconv, key): value for key, value in usual.items()}
            is_usual = usual.items() <= attributes.items()
            for key in usual if is_usual else ():
                del attributes[key]
            return is_usual

        level, library = "", attributes.get(semconv.POOL_LIBRARY)
        if library and remove(POOL_NAME=library, POOL_LIBRARY=library):
            level = "P "
            port = self.ports.get(attributes.get(semconv.SERVER_PORT, -1), "")
            if port and remove(SERVER_ADDRESS="127.0.0.1"):
                del attributes[semconv.SERVER_PORT]
                level = f"O{port.removeprefix('PORT').removeprefix('1')} "
            if len(self.libraries) > 1:
                level = f"{library} {level}"
        texts = []
        for key, value in sorted(attributes.items()):
            if key.startswith(CALL_TIME):
                continue
            if isinstance(value, float):
                value = _amount(value, exact=False)
            elif key == semconv.SERVER_PORT:
                value = self.ports.get(value, value)
            texts.append(f"{key}={value}")
        return (level + " ".join(texts)).strip()

    def _text(self, name: str) -> str:
        return re.sub(r":(\d+)$", lambda found: f":{self.ports.get(int(found[1]), found[1])}", name)


@contextlib.contextmanager
def recorded(*libraries: str, births: bool = False, **settings: Any) -> Iterator[Recording]:
    """Record what the instrumentation exports inside the block, with these settings."""
    with instrumented(**settings) as telemetry:
        yield Recording(telemetry, *libraries, births=births)


def play_all(name: str, listen: Listen, certificates: Certificates) -> dict[str, list[str]]:
    """Play all scenarios for a library; return the lines of each."""
    library, played = Library.load(name), dict[str, dict[str, list[str]]]()
    modes: dict[str, list[str]] = {}
    instruments: set[str] = set()
    for mode, scenario in scenarios(name):
        births = scenario is SCENARIOS[0]
        for silence in (0.1, 5.0):
            with recorded(name, births=births, **scenario.settings) as recording:
                with Runner.start(mode) as runner:
                    played_here = library, runner, recording, listen, certificates
                    play = Play(*played_here, scenario.http2, silence)
                    try:
                        scenario.play(play)
                    except AssertionError as error:  # from a wait
                        recording.lines.append(str(error))
                    for caller in play.callers:
                        caller.end()
                recording.add_spans()
            if not play.late:
                break
        instruments |= recording.instruments
        modes.setdefault(scenario.name, []).append(mode)
        lines = played.setdefault(scenario.name, {})
        for line in recording.lines:
            lines.setdefault(line, []).append(mode)
    return {"instruments": sorted(instruments)} | {
        f"{key} ({', '.join(modes[key])})": sorted(
            line if here == modes[key] else f"{line} ({', '.join(here)})"
            for line, here in lines.items()
        )
        for key, lines in played.items()
    }


def compare(name: str, found: dict[str, list[str]]) -> None:
    """Fail with the lines that differ from a file, or rewrite it with WRITE_GOLDEN=1."""
    file = FOLDER / f"{name}.json"
    if os.environ.get("WRITE_GOLDEN"):
        file.write_text(json.dumps(found, indent=0) + "\n")
    golden = json.loads(file.read_text())
    differences = []
    for part in {**golden, **found}:
        wanted, got = golden.get(part, []), found.get(part, [])
        lines = [f"  lost:  {line}" for line in wanted if line not in got]
        lines += [f"  found: {line}" for line in got if line not in wanted]
        differences += [f"{part}:", *lines] if lines else []
    if differences:
        pytest.fail("\n".join([f"{file.name} differs", *differences]), pytrace=False)


@pytest.mark.parametrize("name", LIBRARIES)
def test_outcomes_export_the_recorded_telemetry(
    name: str, listen: Listen, certificates: Certificates
) -> None:
    """Requests of every row of the outcome table export the recorded points and spans."""
    compare(name, play_all(name, listen, certificates))


def test_faults_export_the_recorded_telemetry_and_log_lines(
    listen: Listen,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Leaks, churn and anomalies of all libraries give the recorded metrics and log lines."""
    caplog.set_level("INFO", semconv.SCOPE_NAME)
    with recorded(*LIBRARIES, leak_threshold=2) as recording, contextlib.ExitStack() as stack:
        ends = []
        for name in LIBRARIES:
            runner = stack.enter_context(Runner.start(MODES[name][0]))
            play = Play(Library.load(name), runner, recording, listen, certificates)
            ends.append(faults(play, monkeypatch))
        value = recording.telemetry.value
        wait_until(lambda: value(semconv.LEAKS) == 5 and value(semconv.ANOMALIES) == 11)
        wait_until(lambda: caplog.text.count("leak suspected") == 4)
        recording.take("found")
        for end in ends:
            end()
        wait_until(lambda: caplog.text.count("is over") == 5)
        recording.take("ended")
    lines = {line for line in recording.lines if "anomal" in line or "leak" in line}
    for record in caplog.records:
        text = re.sub(r" (\w+)/\1\b", " POOL", record.getMessage())
        lines.add(f"{record.levelname}: {re.split('[0-9(]', text)[0]}")
    compare("faults", {"all libraries": sorted(lines)})


def test_any_llm_calls_export_the_recorded_telemetry(
    listen: Listen, certificates: Certificates
) -> None:
    """Points and spans of an any-llm call's requests have provider, operation and model."""
    pytest.importorskip("anthropic")
    with recorded("httpx", model_attributes=True, **FULL) as recording:
        with Runner.start("sync") as runner:
            any_llm_calls(Play(Library.load("httpx"), runner, recording, listen, certificates))
        recording.add_spans()
    compare("any_llm", {"calls": sorted(recording.lines)})

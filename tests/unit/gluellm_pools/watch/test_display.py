"""The display: headings, warnings, frames that fit, and lines that are printed once."""

import json
import re

import pytest
from rich.console import Group
from rich.text import Text

from gluellm_pools.watch.display import MOST_POOLS, JsonDisplay, frame, instructions, reports_of
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.otlp import (
    LATER,
    POOL,
    SECOND,
    START,
    finding,
    gauge,
    histogram,
    logs_request,
    metrics_request,
)
from support.otlp import number as sum_of

from .watched import URL, Watched


def drawn(watched: Watched) -> list[str]:
    """The lines of one frame."""
    width, height = watched.console.size
    rows = frame(reports_of(watched.intake.processes.values()), width, height - 1)
    # A Text that is printed by itself loses its `no_wrap`.
    watched.console.print(Group(Text("\n", no_wrap=True, overflow="ellipsis").join(rows)))
    return watched.tail()


def test_the_variables_to_set_name_this_receiver():
    """They have the SDK's names and units: the interval is in milliseconds."""
    assert instructions(URL, Watched().intake)[1:5] == [
        "  OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318",
        "  OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
        "  OTEL_METRIC_EXPORT_INTERVAL=2000",
        "  OTEL_PYTHON_GLUELLM_FINDINGS_INTERVAL=5",
    ]


def test_a_heading_has_process_last_export_and_period():
    """A UUID is shortened; silence is shown."""
    watched = Watched()
    instance = {"service__instance__id": "f91ae67e-a6b8-4902-b861-ef753071e037"}
    watched.export("openai", **instance)
    watched.now += 3
    first = "shop (f91ae67e): exported 3 s ago, counted since process start, not judged"
    assert watched.report.heading == first
    watched.now += 7
    watched.export("openai", **instance)
    second = "shop (f91ae67e): exported 0 s ago, every 10 s, counted over 10 s, not judged"
    assert watched.report.heading == second
    watched.now += 45
    silent = "shop (f91ae67e): SILENT, exported 45 s ago, every 10 s, counted over 10 s, not judged"
    assert watched.report.heading == silent


def test_process_is_not_judged_yet_until_its_first_judgement():
    watched = Watched()
    watched.take(metrics_request(sum_of(semconv.FINDING_JUDGED, 0, about={})))
    assert watched.report.heading.endswith("process start, not judged yet")
    watched.take(metrics_request(sum_of(semconv.FINDING_JUDGED, 1, LATER + SECOND, about={})))
    assert "judged" not in watched.report.heading


def test_process_without_a_pool_is_shown_as_instrumented():
    """Hooks are reported before there is any pool."""
    watched = Watched()
    watched.take(metrics_request(gauge(semconv.HOOK_MISSING, 0)))
    (line,) = watched.report.warnings
    assert line.startswith("Instrumented, but no request has been observed yet. ")
    assert "OTEL_PYTHON_GLUELLM_SCOPE=all" in line


def test_two_processes_under_one_name_get_advice():
    """The numbers mix two processes: there is a warning, and they are dim and not judged."""
    watched = Watched()
    for start in (START + SECOND, START):
        leak = sum_of(semconv.LEAK_SUSPECTED, 1, monotonic=False)
        request = sum_of(semconv.REQUESTS, 5, LATER + start, start=start)
        watched.take(metrics_request(request, leak, finding("leak")))
    assert watched.report.lines[1].startswith("  openai/httpx2: leaks: 1 suspected")
    assert watched.report.lines[-1].startswith("  MIXED UP: two processes export under this name")
    assert "service.instance.id in OTEL_RESOURCE_ATTRIBUTES" in watched.report.lines[-1]
    rows = frame([watched.report], 80, 40)
    (block,) = [row for row in rows if "openai/httpx2" in row.plain]
    assert block.style == "dim"


def test_foreign_text_has_no_escapes():
    """Names of services, instances, pools, libraries, scopes and hooks, and requested paths."""
    evil = "\x1b[2J\x07\u202e"
    watched = Watched(200, 60)
    watched.export(evil, service__name=evil, service__instance__id=evil)
    watched.take(
        metrics_request(
            gauge(semconv.HOOK_MISSING, 1, gluellm__hook__library=evil), service__name=f"{evil}2"
        )
    )
    watched.take(metrics_request(sum_of("x", 1), scope=evil, service__name=f"{evil}3"))
    watched.take(logs_request(evil))
    watched.intake.messages.add(f"refused {evil}")
    watched.lines().show()
    text = watched.out.getvalue() + "\n".join(drawn(watched))
    assert "?[2J" in text
    assert not [c for c in text if c in evil[:1] + evil[4:]]


# Calls


def calls_of(provider="openai", limited=0, found=(), **resource):
    """A collection with calls, a finding on them (kind, severity), and a request of a pool."""
    level = {"gen_ai__provider__name": provider, "gluellm__call__source": "any_llm"}
    stage = {**level, "gluellm__call__stage": "limited"}
    calls = {semconv.PROVIDER_NAME: provider, semconv.CALL_SOURCE: "any_llm"}
    return metrics_request(
        sum_of(semconv.CALL_CURRENT, limited, monotonic=False, **stage),
        gauge(semconv.CALL_OLDEST_AGE, 3.0, **stage),
        sum_of(semconv.CALLS, 20, **level, gluellm__call__outcome="succeeded"),
        sum_of(semconv.CALLS, 0, **level, gluellm__call__outcome="failed"),
        sum_of(semconv.REQUESTS, 20),
        *([finding(*found, about=calls)] if found else []),
        **resource,
    )


def test_calls_come_before_the_pools():
    """They have their verdict in lines, in blocks and in JSON."""
    watched = Watched(80, 24)
    watched.take(calls_of(limited=12, found=("gluellm_limiter", "warning")))
    text = "warning: gluellm limiter"
    start = f"  calls to openai (any_llm): verdict: {text} | calls now: 12 limited"
    assert watched.report.lines[1].startswith(start)
    assert watched.report.lines[2].startswith("  openai/httpx2: ")
    lines = drawn(watched)
    assert lines[1:4] == [
        "calls to openai (any_llm)",
        f" verdict      {text}",
        " calls now    12 limited (oldest 3.0 s)",
    ]
    assert lines[6].startswith("openai/httpx2  provider openai")
    (calls,) = json.loads(json.dumps(watched.report.as_json))["calls"]
    assert (calls["provider"], calls["source"], calls["verdict"]) == ("openai", "any_llm", text)
    assert calls["by_stage"] == {"limited": 12}
    assert calls["outcomes"] == {"succeeded": 20, "failed": 0}


def test_process_whose_calls_never_reached_a_pool_shows_them():
    """There is no advice on the scope."""
    watched = Watched()
    stage = {"gluellm__call__source": "gluellm", "gluellm__call__stage": "limited"}
    watched.take(metrics_request(sum_of(semconv.CALL_CURRENT, 1, monotonic=False, **stage)))
    assert watched.report.warnings == []
    assert watched.report.lines[1].startswith("  calls to openai (gluellm): calls now: 1 limited")


def test_calls_with_an_error_come_first_and_in_full():
    """They come before warnings, or alone in few lines."""
    watched = Watched(80, 12)
    warning, error = ("retries", "warning"), ("calls_failing", "error")
    for n, found in enumerate((warning, error, ())):
        watched.take(calls_of(found=found, service__instance__id=f"w-{n}"))
    watched.take(calls_of("other", found=warning, service__instance__id="w-1"))
    lines = drawn(watched)
    assert lines[0].startswith("shop (w-1)")
    assert lines[1:3] == ["calls to openai (any_llm)", " verdict      error: calls failing"]


def test_log_record_of_a_finding_brings_its_evidence():
    """The verdict has its first line, and the messages below have the whole text."""
    watched = Watched(200)
    watched.take(metrics_request(sum_of(semconv.REQUESTS, 5), finding("leak")))
    named = {**POOL, semconv.FINDING_KIND: "leak", semconv.FINDING_SEVERITY: "error"}
    text = "Finding (error, PID 7): leak in openai/httpx2: 4 of 4 held\nERROR: leak\n  observed: 4"
    watched.take(logs_request(text, attributes=named))
    assert watched.report.pools[0].verdict == "error: leak: 4 of 4 held"
    assert watched.intake.messages.unread() == ["WARNING from shop: ERROR: leak observed: 4"]
    watched.take(logs_request("Finding ended: leak in openai/httpx2", 9, attributes=named))
    assert watched.report.pools[0].verdict == "error: leak: 4 of 4 held"


def test_finding_that_has_no_row_is_below_the_heading():
    """It concerns the process, or calls that no metric has."""
    watched = Watched(100)
    calls = {semconv.PROVIDER_NAME: "openai", semconv.CALL_SOURCE: "sdk"}
    process = finding("blocked_event_loop", about={})
    requests = sum_of(semconv.REQUESTS, 5)
    watched.take(metrics_request(finding("retries", "warning", about=calls), process, requests))
    found = ["error: blocked event loop", "warning: retries (calls to openai (sdk))"]
    assert watched.report.findings == watched.report.as_json["findings"] == found
    assert watched.report.lines[1] == f"  {found[0]}"
    assert drawn(watched)[1:3] == found


@pytest.mark.parametrize("height", [8, 12, 24, 40, 100])
@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_frame_fits_the_terminal(width, height):
    """Many pools are blocks while there is room, then lines, then a count of further lines."""
    watched = Watched(width, height)
    for n in range(5):
        watched.export("openai", "anthropic", "mistral", service__instance__id=f"worker-{n}")
    lines = drawn(watched)
    assert len(lines) < height
    assert max(map(len, lines)) <= width
    blocks = sum("requests now " in line for line in lines)
    if height == 100:
        assert 5 < blocks <= 15
        assert sum("/httpx2: " in line for line in lines) == 15 - blocks
    if height == 8:
        assert blocks == 0
        assert re.match(r"\d+ more lines: make the", lines[-1])


def test_very_many_pools_of_a_process_are_cut():
    """The numbers of further pools and providers are shown."""
    watched = Watched(100, 300)
    for n in range(MOST_POOLS + 7):
        watched.take(calls_of(f"provider-{n:03}"))  # through one pool
    assert "  and 7 more providers" in watched.report.lines
    watched.export(*(f"pool-{n:03}" for n in range(MOST_POOLS + 6)))
    assert watched.report.lines[-1] == "  and 7 more pools"
    assert any("and 7 more pools" in line for line in drawn(watched))


def test_lines_are_printed_for_news_and_not_too_often():
    """A process has lines after an export, at most every 5 s, and once when it becomes silent."""
    watched = Watched(200)
    display = watched.lines()
    display.start()
    assert "Listening on http://127.0.0.1:4318 for OTLP/HTTP. Ctrl-C ends." in watched.tail()
    watched.export("openai")
    display.show()
    assert len(watched.tail()) == 2
    for _ in range(9):
        watched.now += 0.5
        watched.export("openai")
        display.show()
    assert watched.tail() == []
    watched.now += 0.5
    display.show()
    assert len(watched.tail()) == 2
    display.show()
    watched.now += 20
    display.show()
    display.show()
    assert [line for line in watched.tail() if "SILENT, exported 20 s ago" in line] != []
    display.finish()
    assert watched.tail() == []


def test_remaining_news_is_printed_at_the_end():
    """This includes the last export, logs and problems, or that no metrics arrived."""
    watched = Watched(200)
    display = watched.lines()
    watched.intake.not_shown.add("spans")
    display.finish()
    assert watched.tail()[0].startswith("No metrics arrive, only spans. In a program's environment")
    watched.export("openai")
    display.show()
    watched.tail()
    watched.now += 1
    watched.export("openai")
    watched.take(logs_request("a leak"))
    watched.intake.messages.add("refused POST /: 404, not here")
    display.finish()
    lines = watched.tail()
    assert lines[:2] == ["WARNING from shop: a leak", "refused POST /: 404, not here"]
    assert lines[2].startswith("shop: exported 0 s ago, every 1.0 s")


def test_a_live_view_shows_instructions_until_metrics_arrive():
    """Then it shows the pools, and below them logs and problems."""
    watched = Watched(100, 40, terminal=True)
    display = watched.live()
    display.start()
    display.show()
    hint = watched.tail()
    assert any("No metrics arrive." in line for line in hint)
    assert any("opentelemetry-instrumentation-logging" in line for line in hint)
    watched.export("openai")
    watched.take(logs_request("a leak"))
    watched.intake.messages.add("gRPC was sent")
    display.finish()
    text = "\n".join(watched.tail())
    assert "No metrics arrive" not in text
    assert text.index("openai/httpx2") < text.index("a leak") < text.index("gRPC was sent")


def test_json_is_one_object_at_the_end(capsys):
    """It has verdicts, state and counters, and marks estimates."""
    watched = Watched()
    waits = histogram(semconv.ACQUIRE_DURATION, [1, 1], [0.5])
    leak = sum_of(semconv.LEAK_SUSPECTED, 2, monotonic=False)
    watched.take(metrics_request(sum_of(semconv.REQUESTS, 5), leak, waits, finding("leak")))
    watched.intake.messages.add("refused POST /: 404, not here")
    display = JsonDisplay(URL, watched.intake)
    display.start()
    display.show()
    display.finish()
    out, err = capsys.readouterr()
    assert err.startswith("Listening on ")
    found = json.loads(out)
    assert found["messages"] == ["refused POST /: 404, not here"]
    (process,) = found["processes"]
    assert (process["service"], process["silent"]) == ("shop", False)
    (pool,) = process["pools"]
    assert (pool["name"], pool["requests"], pool["leaks_suspected"]) == ("openai", 5, 2)
    assert pool["verdict"] == "error: leak"
    assert process["judgements"] is None
    assert pool["wait"]["estimated"]["p50"] == 0.5


# Processes with problems are visible on a terminal that is too small for all

SICK = 4
"""The number of the process with a problem."""


def shop(watched: Watched, severity: str = "error") -> None:
    """Export from seven processes, the fifth of which has a finding."""
    for n in range(7):
        now = [
            sum_of(semconv.REQUEST_CURRENT, 2, monotonic=False, gluellm__request__phase=phase)
            for phase in ("queued", "awaiting_response", "unread")
        ]
        sick = [finding("leak", severity)] if n == SICK else []
        metrics = [sum_of(semconv.REQUESTS, 5), *now, *sick]
        watched.take(metrics_request(*metrics, service__instance__id=f"worker-{n}"))


@pytest.mark.parametrize("height", [12, 18, 24, 40])
@pytest.mark.parametrize("severity", ["error", "warning"])
def test_process_with_a_problem_is_first_and_in_full(height, severity):
    """Other lines are omitted for it, and counted."""
    watched = Watched(80, height)
    shop(watched, severity)
    lines = drawn(watched)
    assert lines[0].startswith("shop (worker-4): exported")
    assert any("requests now " in line for line in lines[:8])
    assert lines[2] == f" verdict      {severity}: leak"
    assert len(lines) < height
    assert ("more lines" in lines[-1]) == (height < 40)


def test_processes_keep_their_positions_between_exports():
    """A warning that becomes an error does not move a process."""
    watched = Watched(100, 100)
    places = []
    for severity in ("warning", "error"):
        shop(watched, severity)
        places.append([line.split(":")[0] for line in drawn(watched) if line.startswith("shop")])
    assert places[0] == [f"shop (worker-{n})" for n in (4, 0, 1, 2, 3, 5, 6)]
    assert all(place == places[0] for place in places)


def test_silent_process_has_no_verdict():
    """Its state is unknown; it is listed below the others."""
    watched = Watched(100, 40)
    shop(watched)
    watched.now += 200
    watched.export("openai", service__instance__id="worker-6")
    lines = drawn(watched)
    assert lines[0].startswith("shop (worker-6)")
    assert not any("verdict" in line for line in lines)


def test_pools_with_problems_come_first_and_are_blocks_before_healthy_ones():
    """A healthy pool gets no block while one with a problem has only a line."""
    watched = Watched(100, 24)
    for n in range(2):
        leak = finding("leak", about={**POOL, semconv.POOL_NAME: "z"})
        metrics = [sum_of(semconv.REQUESTS, 5, gluellm__pool__name=name) for name in ("a", "z")]
        watched.take(metrics_request(*metrics, leak, service__instance__id=f"worker-{n}"))
    lines = drawn(watched)
    assert [line.split("/")[0] for line in lines if "/httpx2" in line] == ["z", "a", "z", "a"]
    assert [line[:2] for line in lines if "/httpx2  " in line] == ["z/", "z/"]

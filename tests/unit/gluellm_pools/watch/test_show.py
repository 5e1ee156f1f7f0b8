"""What is shown: headings, warnings, frames that fit, and lines that come once."""

import re

import pytest
from rich.text import Text

from gluellm_pools.text import printable_ends
from gluellm_pools.watch.display import LiveScreen
from gluellm_pools.watch.frame import frame
from gluellm_pools.watch.limits import GONE_SECONDS, NAME_CHARACTERS
from gluellm_pools.watch.show import MOST_POOLS, environment_lines, heading, name_of, process_lines
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.otlp import LATER, SECOND, START, gauge, logs_request, metrics_request, number

from .watched import URL, Watched


def test_the_variables_to_set_name_this_receiver():
    """They have the SDK's names and units: the interval is in milliseconds."""
    assert environment_lines(URL) == [
        "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318",
        "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
        "OTEL_METRIC_EXPORT_INTERVAL=5000",
    ]


def test_a_heading_has_process_last_export_and_period():
    """A UUID is shortened; silence is shown."""
    watched = Watched()
    instance = {"service__instance__id": "f91ae67e-a6b8-4902-b861-ef753071e037"}
    watched.export("openai", **instance)
    watched.now += 3
    assert heading(watched.process) == "shop (f91ae67e), heard 3 s ago; counted since its start"
    watched.now += 7
    watched.export("openai", **instance)
    heard = "shop (f91ae67e), heard 0 s ago, every 10 s; counted over 10 s"
    assert heading(watched.process) == heard
    watched.now += 45
    silent = "shop (f91ae67e), SILENT, last heard 45 s ago; counted over 10 s"
    assert heading(watched.process) == silent


def drawn(watched: Watched, head=(), foot=(), **options) -> list[str]:
    """The lines of one frame."""
    rows = frame(watched.console, watched.intake.processes, list(head), list(foot))
    watched.console.print(rows, **options)
    return watched.said()


def test_process_without_a_pool_is_shown_as_instrumented():
    """Hooks are reported before there is any pool."""
    watched = Watched()
    watched.intake.take(metrics_request(gauge(semconv.HOOK_MISSING, 0)))
    (line,) = process_lines(watched.process)[1:]
    assert line.startswith("  Instrumented, but no request has used a pool in its scope yet. ")
    assert "OTEL_PYTHON_GLUELLM_SCOPE=all" in line


def test_two_processes_under_one_name_get_advice():
    """The numbers mix two processes: there is a warning above them, and they are dim."""
    watched = Watched()
    for start in (START + SECOND, START):
        time = LATER + start
        watched.intake.take(metrics_request(number(semconv.REQUESTS, 5, time, start=start)))
    lines = process_lines(watched.process)
    assert lines[1].startswith("  MIXED UP: two processes export under this name")
    assert "service.instance.id in OTEL_RESOURCE_ATTRIBUTES" in lines[1]
    assert lines[2].startswith("  openai/httpx2: ")
    shown = frame(watched.console, watched.intake.processes, [], [])
    (block,) = [row for row in shown.renderables if "openai/httpx2" in row.plain]
    assert block.style == "dim"
    assert not block.spans


def test_foreign_text_has_no_escapes():
    """Names of services, instances, pools, libraries, scopes and hooks, and requested paths."""
    evil = "\x1b[2J\x07\u202e"
    watched = Watched(200, 60)
    watched.export(evil, service__name=evil, service__instance__id=evil)
    watched.intake.take(
        metrics_request(
            gauge(semconv.HOOK_MISSING, 1, gluellm__hook__library=evil), service__name=f"{evil}2"
        )
    )
    watched.intake.take(metrics_request(number("x", 1), scope=evil, service__name=f"{evil}3"))
    watched.intake.take(logs_request(evil))
    watched.notes.refused(404, evil, evil, evil)
    watched.notes.broken(evil)
    with watched.plain() as screen:
        screen.show()
    foot = [Text(line) for line in watched.notes.lines()]
    text = watched.out.getvalue() + "\n".join(drawn(watched, foot=foot))
    assert "?[2J" in text
    assert not [c for c in text if c in evil[:1] + evil[4:]]


@pytest.mark.parametrize("height", [8, 12, 24, 40, 100])
@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_frame_fits_the_terminal(width, height):
    """Many pools of many processes: blocks while there is room, then lines, then how many more."""
    watched = Watched(width, height)
    for n in range(5):
        watched.export("openai", "anthropic", "mistral", service__instance__id=f"worker-{n}")
    foot = [Text("logged: something " * 4, style="yellow")]
    lines = drawn(watched, [Text("head")], foot, end="")
    assert len(lines) < height
    assert max(map(len, lines)) <= width
    assert lines[0] == "head"
    assert "".join(lines).rstrip().endswith("something")
    blocks = sum("requests now" in line for line in lines)
    if height == 100:
        assert 5 < blocks <= 15
        assert sum("/httpx2: " in line for line in lines) == 15 - blocks
    if height == 8:
        assert blocks == 0
        assert any(re.search(r"\d+ more lines of [2-5] processes; make", line) for line in lines)


def test_very_many_pools_of_a_process_are_cut():
    """Their number is shown."""
    watched = Watched(100, 300)
    watched.export(*(f"pool-{n:03}" for n in range(MOST_POOLS + 7)))
    assert process_lines(watched.process)[-1] == "  and 7 more pools"
    assert any("and 7 more pools" in line for line in drawn(watched))


def test_lines_come_when_there_is_news_and_not_too_often():
    """A process has a line after an export, at most every 5 s; silence and end are printed once."""
    watched = Watched(200)
    screen = watched.plain()
    with screen:
        assert "Listening on http://127.0.0.1:4318 for OTLP/HTTP. Ctrl-C ends." in watched.said()
        watched.export("openai")
        screen.show()
        assert len(watched.said()) == 2
        for _ in range(9):
            watched.now += 0.5
            watched.export("openai")
            screen.show()
        assert watched.said() == []
        watched.now += 0.5
        screen.show()
        assert len(watched.said()) == 2
        screen.show()
        watched.now += 20
        screen.show()
        screen.show()
        (line,) = watched.said()
        assert line.startswith("shop, SILENT, last heard 20 s ago")
        watched.now += GONE_SECONDS
        watched.intake.processes.drop_gone()
        screen.show()
        screen.show()
        assert watched.said() == ["shop: gone"]


def test_remaining_news_is_printed_at_the_end():
    """The last export before Ctrl-C, logs, refusals, and what was not shown."""
    watched = Watched(200)
    with watched.plain() as screen:
        watched.intake.spans = 1  # a program may export traces alone
        screen.close()
        assert watched.said()[-2] == "received, and not shown: 1 span"
        watched.export("openai")
        screen.show()
        watched.said()
        watched.now += 1
        watched.export("openai")
        watched.intake.take(logs_request("a leak"))
        watched.intake.spans = 3
        watched.notes.refused(404, "POST", "/", "not here")
        screen.close()
    lines = watched.said()
    assert lines[:2] == ["refused POST /: 404, not here", "logged: WARNING from shop: a leak"]
    assert lines[2].startswith("shop, heard 0 s ago, every 1.0 s")
    assert lines[-1] == "received, and not shown: 3 spans"


def test_a_live_view_shows_instructions_until_something_comes():
    """Then it shows the pools, and below them logs and refusals."""
    watched = Watched(100, 40, terminal=True)
    screen = LiveScreen(watched.console, URL, watched.intake, watched.notes)
    with screen:
        screen.show()
        hint = watched.said()
        assert any("Nothing has arrived yet" in line for line in hint)
        assert any("opentelemetry-instrumentation-logging" in line for line in hint)
        watched.export("openai")
        watched.intake.take(logs_request("a leak"))
        watched.notes.grpc_spoken()
        screen.show()
        text = "\n".join(watched.said())
    assert "Nothing has arrived yet" not in text
    assert text.index("openai/httpx2") < text.index("a leak") < text.index("spoke gRPC")


def test_notes_are_bounded_and_end():
    """The same one is counted; many different ones keep the last; after a minute they are over."""
    watched = Watched()
    for _ in range(3):
        watched.notes.grpc_spoken()
    assert watched.notes.lines()[0].endswith("(3 times)")
    assert len(watched.notes.fresh()) == 1
    for n in range(100):
        watched.notes.refused(404, "GET", f"/{n}", "not here")
    assert len(watched.notes.lines()) <= 5
    assert len(watched.notes.fresh()) <= 3
    watched.now += 61
    assert watched.notes.lines() == []


# Names longer than what is shown: they are shortened on the screen, and compared in full


POD = "production-inference-services.recommendation-gateway-worker-7d9f8b6c5d-"
MIDDLE = ("x" * 50 + "1" + "y" * 50, "x" * 50 + "2" + "y" * 50)


@pytest.mark.parametrize("key", ["service__name", "service__instance__id", "service__namespace"])
@pytest.mark.parametrize("names", [(POD + "x2k4p.main", POD + "q9z7w.main"), MIDDLE])
def test_processes_with_similar_long_names_are_distinguished(key, names):
    """Pods of one deployment differ at the end of their names; others perhaps in the middle."""
    watched = Watched()
    for name in names:
        watched.export("openai", **{key: name})
    assert len(watched.intake.processes) == 2


def test_the_end_of_a_long_name_is_shown():
    """It distinguishes pods; what is shown stays short."""
    watched = Watched()
    watched.export(POD + "eu-west", service__instance__id=POD + "x2k4p.main")
    name = name_of(watched.process)
    assert name.startswith("shop (production-")
    assert name.endswith("-x2k4p.main)")
    assert len(watched.process.identity.instance) == NAME_CHARACTERS
    assert "d-eu-west/httpx2: " in process_lines(watched.process)[1]


@pytest.mark.parametrize("names", [(POD + "a", POD + "b"), MIDDLE])
def test_pools_with_similar_long_names_are_not_added_up(names):
    """Each is a row of its own."""
    watched = Watched()
    watched.export(*names)
    pools = watched.process.view().pools
    assert [pool.requests for pool in pools.values()] == [5, 5]
    assert all(len(key.name) == NAME_CHARACTERS for key in pools)
    assert len(process_lines(watched.process)) == 3


def test_shortened_text_is_printable_and_as_long_as_allowed():
    """Both ends are kept, and nothing is cut that has room."""
    for length in (0, 1, 9, 10, 11, 1000):
        text = "".join(chr(97 + n % 26) for n in range(length))
        short = printable_ends(text, 10)
        assert len(short) == min(length, 10)
        assert (short == text) == (length <= 10)
        assert (short[:3], short[-4:]) == (text[:3], text[-4:])
    assert "\x1b" not in printable_ends("\x1b[2J" * 100)

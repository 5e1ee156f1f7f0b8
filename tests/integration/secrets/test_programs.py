"""The commands as programs of their own: no secret and no escape reaches a terminal or the wire."""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support import programs
from support.http1 import HTTP1Server
from support.otlp import as_json, logs_request, metrics_request, number, traces_request
from support.script import Reply
from support.waiting import wait_until
from support.watching import COMMAND, environment
from unit.cli.verify.server import answer, serving

from .hostile import MARK, TEXTS, assert_tame
from .places import Canaries
from .servers import RawServer, Recorder
from .test_calls import EVENTS, JSON, answered, streamed

CALLER = Path(__file__).with_name("scripts") / "caller.py"
TESTS = Path(__file__).parents[2]
PATIENCE = 60.0
_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
"""What rich draws with."""


class Screen:
    """A command on a pseudo-terminal, or with a pipe for its output, whose bytes are kept."""

    def __init__(self, *arguments: str, terminal: bool, **more: str) -> None:
        self._ours, theirs = pty.openpty() if terminal else os.pipe()
        self.process = subprocess.Popen(
            arguments,
            stdin=theirs if terminal else subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            env=environment(TERM="xterm-256color", LINES="50", **more),
        )
        os.close(theirs)
        self.output = bytearray()
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # a terminal whose last program has ended
            while data := os.read(self._ours, 65536):
                self.output += data

    @property
    def text(self) -> str:
        """What was printed so far; whatever is no UTF-8 is seen as such."""
        return self.output.decode("utf-8", "surrogateescape")

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait until it has printed that."""
        return wait_until(lambda: re.search(pattern, self.text), pattern, PATIENCE)

    def end(self) -> None:
        """Ctrl-C, and everything that it prints then."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(PATIENCE)
        self._reading.join(PATIENCE)
        os.close(self._ours)


def ended(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A command that has ended; whatever it printed that is no UTF-8 is seen as such."""
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        timeout=PATIENCE,
        env=environment(**more),
        check=False,
    )


def assert_screen_tame(text: str, longest: int = 2100) -> None:
    """No sequence but those that draw, and nothing that changes what is read."""
    for wild in ("\x1b]", "\x1bP", "\x1b_", "\x1b[31;5;7m", "\x9b", "\x07", "\u202e", "\x1b[2J"):
        assert wild not in text, f"{wild!r} in ...{text[max(text.find(wild) - 60, 0) :][:160]!r}"
    assert_tame(
        _SEQUENCE.sub("", text).replace("\r\n", "\n").replace("\r", ""), "the screen", longest
    )


def filled(message: Message, text: str, *, kept: tuple[str, ...] = ()) -> Message:
    """The message with the text in each of its fields for texts but those ``kept``."""
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in [value] if isinstance(value, Message) else value:
                filled(part, text, kept=kept)
        elif isinstance(value, str) and value not in kept:
            setattr(message, field.name, text)
    return message


def requests_with(text: str, secret: str) -> Iterator[tuple[str, bytes, str]]:
    """Path, body and content type of exports with the text in every place for one."""
    text = text[:20_000]
    plain = text.encode("utf-8", "replace").decode()
    keys = ("service__name", "service__namespace", "service__instance__id", "host__name")
    names = {**dict.fromkeys(keys, plain), "db__password": secret}
    labels = {
        f"{key.replace('.', '__')}": plain
        for key in (
            semconv.POOL_NAME,
            semconv.PROVIDER_NAME,
            semconv.POOL_LIBRARY,
            semconv.ERROR_TYPE,
            semconv.REQUEST_PHASE,
            "gluellm.seam",
        )
    }
    metrics = (semconv.REQUESTS, semconv.CONNECTION_OPENED, semconv.SEAM, semconv.REQUEST_CURRENT)
    points = [
        number(metric, int(metric is not semconv.SEAM), **labels, secret=secret)
        for metric in metrics
    ]
    pools = metrics_request(*points, **names)
    for found in pools.resource_metrics[0].scope_metrics[0].metrics:
        found.description = found.unit = plain
        exemplar = found.sum.data_points[0].exemplars.add()
        exemplar.filtered_attributes.add(key=plain).value.string_value = secret
    everything = filled(metrics_request(number(semconv.REQUESTS, 5), **names), plain)
    log = filled(logs_request(plain), plain, kept=(semconv.SCOPE_NAME,))
    foreign = logs_request(f"{plain} {secret}", scope="others")
    log_record = log.resource_logs[0].scope_logs[0].log_records[0]
    log_record.severity_text = plain
    log_record.attributes.add(key=plain).value.string_value = secret
    spans = filled(traces_request(), f"{plain} {secret}")
    for path, message in (
        ("metrics", pools),
        ("metrics", everything),
        ("logs", log),
        ("logs", foreign),
        ("traces", spans),
    ):
        yield f"/v1/{path}", message.SerializeToString(), "application/x-protobuf"
        # As JSON, which can have half a surrogate pair.
        body = as_json(message).replace(b"EVIL", b"\\ud800")
        yield f"/v1/{path}", body, "application/json"
    yield "/v1/metrics", f'{{"resourceMetrics": "{secret}"}}'.encode(), "application/json"
    yield "/v1/logs", b"\xff" + plain.encode(), "application/x-protobuf"
    yield f"/v1/metrics?key={secret}", b"", plain.encode("ascii", "replace").decode()[:20]
    yield f"/v2/traces?key={secret}", b"{}", "application/json"


def post(url: str, body: bytes, content_type: str, secret: str) -> tuple[int, bytes]:
    """Status and answer."""
    content_type = re.sub(r"[^ -~]", "?", content_type)
    headers = {"content-type": content_type, "authorization": f"Bearer {secret}", "x-key": secret}
    request = urllib.request.Request(url, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipe"])
def test_watch(terminal, canaries):
    """Hostile texts in every field of OTLP, in both encodings, and secrets in all others."""
    secret = canaries.plant("a field of OTLP that is not shown")
    screen = Screen(*COMMAND, "watch", "--port", "0", terminal=terminal)
    try:
        url = screen.wait_for(r"Listening on (http://\S+)")[1]
        for what, text in TEXTS.items():
            for path, body, content_type in requests_with(text, secret):
                status, answer = post(url + path, body, content_type, secret)
                assert status in (200, 400, 404, 415), (what, path, status)
                assert not canaries.found_in(answer.decode("latin-1")), (what, path, answer)
        screen.wait_for(MARK)
        screen.wait_for("logged")
    finally:
        screen.end()
    text = screen.text
    assert not canaries.found_in(text)
    assert_screen_tame(text)
    assert "Traceback" not in text


def store_of(canaries: Canaries, texts: list[str]) -> Any:
    """A store that echoes what it was sent, and has hostile labels on the package's series."""
    name = "gluellm_pool_requests_total"
    labels = ("job", "instance", "service_name", "gluellm_pool_name")

    def answering(handler: Any, path: str) -> None:
        echoed = f"{handler.headers.get('authorization')} {handler.headers.get('x-key')}"
        length = int(handler.headers.get("content-length", 0))
        asked = handler.rfile.read(length).decode() if length else handler.path
        tail = path.rpartition("/")[2]
        if tail == "buildinfo":
            data: Any = {"version": f"3.16.0 {texts[0]} {echoed}"}
        elif tail == "values":
            data = [name, "gluellm_pool_live", *texts[:3]]
        elif "time" in asked and "query=time" in asked:
            data = {"resultType": "scalar", "result": [1e9, "1e9"]}
        elif tail in ("query", "query_range"):
            rows = [
                {
                    "__name__": name,
                    **dict.fromkeys(labels, text[:5000]),
                    "echo": echoed,
                    text[:100] or "a": text[:1000],
                }
                for text in texts
            ]
            result = [{"metric": row, "value": [1e9, "1"]} for row in rows]
            data = {"resultType": "vector", "result": result}
        else:
            data = {"yaml": echoed + texts[0], "activeTargets": [{"lastError": echoed + texts[1]}]}
        answer(handler, {"status": "success", "data": data, "warnings": [texts[2], echoed]})

    return serving(answering)


@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "JSON"])
def test_verify(options, canaries):
    """A store that echoes its credentials, and whose labels are hostile."""
    key, password = canaries.plant("a header of the store"), canaries.plant("the store's password")
    with store_of(canaries, [text[:5000] for text in TEXTS.values()]) as url:
        there = url.replace("//", f"//me:{password}@")
        done = ended("verify", "--prometheus", there, *options, "--header", f"X-Key={key}")
    out, error = done.stdout, done.stderr
    assert done.returncode in (0, 1, 2)
    assert not canaries.found_in(out + error)
    assert_screen_tame(out + error, 100_000 if options else 2100)
    assert "fault of gluellm-pools" not in error
    if options and done.returncode != 2:
        assert json.loads(out)
    assert MARK in out, (out, error)


def variables(canaries: Canaries, base: str, otlp: str, temporary: Path) -> dict[str, str]:
    """An environment full of secrets."""
    hostile = TEXTS["red"] + TEXTS["bidi override"] + TEXTS["lines"]
    return {
        "OPENAI_API_KEY": canaries.plant("OPENAI_API_KEY"),
        "ANTHROPIC_API_KEY": canaries.plant("ANTHROPIC_API_KEY"),
        "AWS_SECRET_ACCESS_KEY": canaries.plant("AWS_SECRET_ACCESS_KEY"),
        "OPENAI_BASE_URL": f"{base}/v1/{canaries.plant('the path of a base URL')}",
        "OTEL_EXPORTER_OTLP_ENDPOINT": otlp,
        "OTEL_EXPORTER_OTLP_TIMEOUT": "2",
        "OTEL_EXPORTER_OTLP_HEADERS": f"x-key={canaries.plant('OTEL_EXPORTER_OTLP_HEADERS')}",
        "OTEL_PYTHON_GLUELLM_SNAPSHOT_SIGNAL": "SIGUSR2",
        "OTEL_PYTHON_GLUELLM_LEAK_THRESHOLD": "2",
        "SECRET_PROMPT": canaries.plant("a prompt"),
        "SECRET_CORRELATION_ID": "order-4711",
        "GLUELLM_LOG_LEVEL": "ERROR",
        "HOSTILE_MODEL": hostile.encode("unicode_escape").decode(),
        "HTTP_PROXY": f"http://u:{canaries.plant('HTTP_PROXY')}@127.0.0.1:9",
        "NO_PROXY": "127.0.0.1",
        "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]),
        "TMPDIR": str(temporary),
        "HOME": str(temporary),
    }


def test_doctor(listen, tmp_path, canaries):
    """Of a program that it runs, and of the same one as a process that it asks; and its exports."""
    pytest.importorskip("any_llm")
    pytest.importorskip("openai")
    server = listen(HTTP1Server)
    collector = listen(Recorder, behind=listen(HTTP1Server).port)
    error = {"error": {"message": canaries.plant("a provider's error message")}}
    first, second = streamed(canaries, "openai")
    path = f"/v1/{canaries.plant('the path of a base URL')}/chat/completions"
    closed = server.gate()
    server.reply(
        path,
        Reply(headers=JSON, chunks=((0.0, answered(canaries, "/chat/completions")),)),
        Reply(status=400, headers=JSON, chunks=((0.0, json.dumps(error).encode()),)),
        Reply(status=401, headers=JSON, chunks=((0.0, json.dumps(error).encode()),)),
        Reply(headers=EVENTS, chunks=((0.0, first), (0.01, second), (closed, b""))),
        Reply(headers=JSON, chunks=((0.0, answered(canaries, "/chat/completions")),)),
    )
    directory = tmp_path / "a\x1b[31mb\u202ec"
    directory.mkdir()
    script = directory / "caller.py"
    script.write_text(CALLER.read_text())
    given = environment(**variables(canaries, server.origin, collector.origin, tmp_path))
    program = [sys.executable, str(script), canaries.plant("an argument of the program")]
    process = subprocess.Popen(
        [*COMMAND, "doctor", "--", *program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=given,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline().split()
        assert line[:1] == [b"leaked"], process.communicate(timeout=PATIENCE)
        asked = ended("doctor", "--pid", line[1].decode(), **given)
        as_json = ended("doctor", "--pid", line[1].decode(), "--json", **given)
        closed.open()
        out, err = process.communicate(b"\n", timeout=PATIENCE)
    finally:
        process.kill()
        process.wait()
    exported = b"".join(
        part.partition(b"\r\n\r\n")[2]  # of their heads the exporter's are its own
        for sent in collector.take(closed=False)
        for part in re.split(rb"POST /v1/\w+ HTTP/1.1\r\n", sent)[1:]
    ).decode("utf-8", "surrogateescape")
    own = (out + err).decode("utf-8", "surrogateescape")
    told = asked.stdout + asked.stderr
    for text in (own, told, as_json.stdout + as_json.stderr, exported):
        assert not canaries.found_in(text), (canaries.found_in(text), text)
    assert json.loads(as_json.stdout or "null"), as_json
    assert_screen_tame(own)
    assert_screen_tame(told)
    assert_screen_tame(as_json.stdout + as_json.stderr, 100_000)
    assert "LEAK SUSPECTED" in told
    assert "leak" in own
    assert "gluellm.pool.requests" in exported
    assert MARK in exported  # the model, on spans


def test_what_a_program_is_given_is_not_repeated(canaries):
    """Its first argument may be a script, and is told only where there is such a file."""
    for arguments in (("true", canaries.plant("a first argument")), ("true", "-k", "s")):
        done = ended("doctor", "--", *arguments)
        assert "true ended with status 0" in done.stderr
        assert not canaries.found_in(done.stdout + done.stderr)


def test_demo(listen, tmp_path, canaries):
    """Exports to a collector that answers with escapes, in an environment full of secrets."""
    pytest.importorskip("any_llm")
    collector = listen(RawServer)
    collector.lingers = True
    # A reason is one line: of the text what doesn't end it.
    text = "".join(text for what, text in TEXTS.items() if what in ("red", "link", "eight-bit CSI"))
    reason = text.encode() + text.encode("latin-1", "replace")
    collector.answer = b"HTTP/1.1 400 " + reason + b"\r\nContent-Length: 0\r\n\r\n"
    given = variables(canaries, "http://127.0.0.1:9", collector.origin, tmp_path)
    program = programs.demo("failures", seconds=1.5)
    screen = Screen(sys.executable, "-c", program, terminal=True, **given)
    try:
        screen.process.wait(PATIENCE)
    finally:
        screen.end()
    assert collector.timeline.count("request") > 0
    assert not canaries.found_in(screen.text), canaries.found_in(screen.text)
    assert_screen_tame(screen.text)
    assert MARK in screen.text, screen.text[-2000:]

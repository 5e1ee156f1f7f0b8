"""What is kept of a request, and which bodies are refused."""

import gzip
import os
import subprocess
import sys
import tracemalloc
import zlib

import pytest

from gluellm_pools.watch import limits
from gluellm_pools.watch.intake import ExportError, Intake
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.otlp import field, logs_request, metrics_request, number, traces_request

from .watched import Watched

REQUEST = metrics_request(number(semconv.REQUESTS, 5))
WHOLE = REQUEST.SerializeToString()
GZIP, DEFLATE = gzip.compress(WHOLE), zlib.compress(WHOLE)


@pytest.fixture
def taken() -> Watched:
    return Watched()


def test_only_the_scope_name_is_kept_of_other_metrics(taken):
    """A user who forgot to instrument can then see what arrived."""
    for n in range(limits.SCOPES + 5):
        request = metrics_request(number("requests", 1), scope=f"other.{n}\x1b[31m")
        assert taken.take(request) == []
    assert not taken.process.series
    assert taken.process.exports == 0
    assert len(taken.process.scopes) == limits.SCOPES
    assert "other.0?[31m" in taken.process.scopes


def test_invalid_points_are_rejected_one_by_one(taken):
    """Valid points are kept. Metrics that the view does not use are accepted."""
    assert taken.take(metrics_request(number(semconv.REQUEUES, 1))) == []
    assert (len(taken.process.series), taken.process.exports) == (0, 1)
    values = (float("nan"), 5, float("inf"))
    rejected = taken.take(metrics_request(*(number(semconv.REQUESTS, v) for v in values)))
    assert len(rejected) == 2
    assert rejected[0].startswith(semconv.REQUESTS.name)
    assert len(taken.process.series) == 1


def test_report_for_doctor_is_one_short_line(taken):
    """It has the name of the worst finding; the program's own log has the rest."""
    taken.take(logs_request("Report on SIGUSR2:\nERROR: leak in openai/httpx2\n  observed: 2\n", 9))
    (line,) = taken.intake.messages.unread()
    assert line.startswith("INFO from shop: Report on SIGUSR2: ERROR: leak in openai/httpx2 (the")
    assert "observed" not in line


def test_logs_of_the_package_are_bounded_and_the_others_not_shown(taken):
    """Warnings and infos have one printable line each. Default exporters also send spans here."""
    taken.take(logs_request("leak\x1b[2J at\n  app.py", 13))
    taken.take(logs_request("released", 9))
    taken.take(logs_request("detail", 5))
    taken.take(logs_request("foreign", 17, scope="root"))
    expected = ["WARNING from shop: leak?[2J at app.py", "INFO from shop: released"]
    assert taken.intake.messages.unread() == expected
    for n in range(limits.UNREAD_MESSAGES + 10):
        taken.take(logs_request(f"{n} " + "x" * 100_000))
    messages = taken.intake.messages.unread()
    assert len(messages) == limits.UNREAD_MESSAGES
    assert max(map(len, messages)) <= limits.MESSAGE_CHARACTERS
    assert len(taken.intake.messages.latest()) == limits.MESSAGES
    assert taken.take(traces_request()) == []
    assert taken.intake.not_shown == {"spans", "log records of other scopes"}


def test_a_known_message_is_printed_once(taken):
    """An exporter repeats what is refused."""
    for _ in range(3):
        taken.intake.messages.add("refused")
    assert taken.intake.messages.unread() == ["refused"]
    (line,) = taken.intake.messages.latest()
    assert line.endswith(" refused")


def refusal(body: bytes, encoding: str = "identity") -> tuple[int, str]:
    with pytest.raises(ExportError) as found:
        Intake().take("metrics", body, encoding)
    return found.value.args


REFUSED = {
    "gzip cut": ("gzip", GZIP[:-9], "truncated"),
    "deflate cut": ("deflate", DEFLATE[:-1], "truncated"),
    "text as gzip": ("gzip", b"some text", "not gzip"),
    "unknown": ("br", b"some text", "not gzip"),
    "junk after gzip": ("gzip", GZIP + b"junk", "goes on"),
    "wrong checksum": ("gzip", GZIP[:-8] + b"\0" * 8, "not gzip"),
    "truncated": ("identity", WHOLE[:-1], "not a protobuf ExportMetricsServiceRequest"),
    "noise": ("identity", b"\xff" * 20, "not a protobuf ExportMetricsServiceRequest"),
    "JSON": ("identity", b"{}", "not a protobuf ExportMetricsServiceRequest"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_body_that_is_not_as_declared_is_refused(what):
    """The status is 400, and the message has the reason."""
    encoding, sent, reason = REFUSED[what]
    status, message = refusal(sent, encoding)
    assert status == 400
    assert reason in message


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress])
def test_a_bomb_is_refused_before_it_expands(compress):
    """200 MiB in 200 kB: memory stays close to the limit."""
    bomb = compress(bytes(200 * 2**20), 1)
    tracemalloc.start()
    try:
        status, message = refusal(bomb, "gzip")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert status == 413
    assert str(limits.BODY_BYTES) in message
    assert peak < 3 * limits.BODY_BYTES


def own_metric(inner: bytes) -> bytes:
    """A request with one metric of this package's scope, which contains these bytes."""
    name = field(1, semconv.REQUESTS.name.encode())
    scope = field(1, field(1, semconv.SCOPE_NAME.encode()))
    return field(1, field(2, scope + field(2, name + inner)))


@pytest.mark.parametrize(
    "body",
    [
        b"\x0a\x00" * (limits.RESOURCES + 1),
        field(1, b"\x12\x00" * (limits.PARTS + 1)),
        own_metric(field(7, b"\x0a\x00" * (limits.PARTS + 1))),
        own_metric(field(7, field(1, b"\x3a\x00" * (limits.PARTS + 1)))),
    ],
    ids=["resources", "scopes", "points", "attributes"],
)
def test_a_request_of_very_many_empty_parts_is_refused(body):
    """The status is 413: two bytes become a message that takes time."""
    status, message = refusal(body)
    assert status == 413
    assert "too many parts" in message


def test_text_that_is_no_utf8_is_refused_by_protobuf_in_pure_python_too():
    """It raises another error there, which was taken for a failure of the receiver."""
    code = (
        "from gluellm_pools.watch.intake import *\n"
        "from google.protobuf.internal import api_implementation\n"
        "assert api_implementation.Type() == 'python'\n"
        "try: Intake().take('metrics', bytes.fromhex('0a031a01ff'))\n"
        "except ExportError as error: print(error.args[0])\n"
    )
    environment = {**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout == "400\n", done.stderr


# Names longer than what is shown: they are shortened, and stay different


POD = "production-inference-services.recommendation-gateway-worker-7d9f8b6c5d-"
MIDDLE = ("x" * 50 + "1" + "y" * 50, "x" * 50 + "2" + "y" * 50)


@pytest.mark.parametrize("key", ["service__name", "service__instance__id", "service__namespace"])
@pytest.mark.parametrize("names", [(POD + "x2k4p.main", POD + "q9z7w.main"), MIDDLE])
def test_processes_with_similar_long_names_are_distinguished(taken, key, names):
    """Pods of one deployment differ at the end of their names; others perhaps in the middle."""
    for name in names:
        taken.export("openai", **{key: name})
    assert len(taken.intake.processes) == 2


@pytest.mark.parametrize("names", [(POD + "a", POD + "b"), MIDDLE])
def test_pools_with_similar_long_names_are_not_added_up(taken, names):
    """Each is a row of its own."""
    taken.export(*names)
    pools = taken.process.view().pools
    assert [pool.requests for pool in pools.values()] == [5, 5]
    assert all(len(key.name) == limits.NAME_CHARACTERS for key in pools)
    assert len(taken.report.lines) == 3

"""Invalid and malicious answers of a store lead to one line and exit status 2."""

import re
from pathlib import Path
from unittest.mock import Mock
from urllib.parse import parse_qs, urlsplit

import pytest

from gluellm_pools.main import main
from gluellm_pools.prometheus import metric_name
from gluellm_pools.verify import product
from gluellm_pools.verify.address import Address
from gluellm_pools.verify.client import RefusedError, Series, Store
from opentelemetry.instrumentation.gluellm.telemetry import semconv

from .server import answer, serving

_NAME = metric_name(semconv.POOL_LIVE)
_LABELS = {"__name__": _NAME, "job": "api", "instance": "x"}


def success(data):
    """The body of an answer."""
    return {"status": "success", "data": data}


def vector(**row):
    """The body of an answer with one row."""
    return success({"resultType": "vector", "result": [{"metric": _LABELS, **row}]})


def scalar(value):
    """The body of an answer to time()."""
    return success({"resultType": "scalar", "result": [1e9, value]})


def store(*, now="1e9", query=None, values=None, **others):
    """A store with one series of this package, with some answers replaced."""

    def answering(handler, path):
        length = int(handler.headers.get("content-length", 0))
        form = handler.rfile.read(length).decode() or urlsplit(handler.path).query
        asked = parse_qs(form).get("query", [""])[0]
        tail = path.rpartition("/")[2]
        if tail in others:
            body = others[tail]
        elif tail == "values":
            body = success([_NAME]) if values is None else values
        elif asked == "time()":
            body = scalar(now)
        elif tail == "query":
            body = vector(value=[1e9, "1"]) if query is None else query
        else:
            body = success({"version": "3.16.0"} if tail == "buildinfo" else {"a": "b"})
        answer(handler, body)

    return serving(answering)


_DEEP = b"[" * 100_000
_HOSTILE = {
    "nested without end": ({"buildinfo": _DEEP, "query": _DEEP}, "not the HTTP API of Prometheus"),
    "nested values": ({"query": b'{"status":"success","data":' + _DEEP}, "unusable answer"),
    "no finite number": ({"query": vector(value=[1, "NaN"])}, "no finite number"),
    "an infinite number": ({"query": vector(value=[1, "+Inf"])}, "no finite number"),
    "a number beyond floats": ({"now": 10**400}, "not the result of a query"),
    "a time beyond floats": ({"query": vector(value=[10**400, "1"])}, "not the result of a query"),
    "an object as a value": ({"query": vector(value={"a": 1})}, "not the result of a query"),
    "an object in a value": ({"query": vector(value=[1, {}])}, "not the result of a query"),
    "an object as values": ({"query": vector(values={"a": 1})}, "not the result of a query"),
    "an object in values": ({"query": vector(values=[{"a": 1}])}, "not the result of a query"),
    "a number as labels": (
        {"query": success({"resultType": "vector", "result": [{"metric": 5}]})},
        "not the result of a query",
    ),
    "a number as names": ({"values": success(5)}, "no list of values"),
    # Each takes three bytes, and 64 and more once parsed.
    "many empty objects": (
        {"query": b'{"status":"success","data":[' + b"{}," * 1_000_000 + b"{}]}"},
        "unusable answer",
    ),
}


@pytest.mark.parametrize("what", _HOSTILE)
def test_a_hostile_answer_is_refused_in_one_line(capsys, what):
    """Exit status 1 means wrong data, and a traceback would have the same status."""
    answers, message = _HOSTILE[what]
    with store(**answers) as url:
        status = main(["verify", "--prometheus", url])
    printed = capsys.readouterr()
    assert status == 2
    assert not printed.out
    assert re.search(message, printed.err), printed.err
    assert "fault of gluellm-pools" not in printed.err
    assert printed.err.count("\n") == 1


_NOTHING = success({"resultType": "vector", "result": []})
_ONE = vector(value=[1e9, "1"])


@pytest.mark.parametrize(
    "answers",
    [
        {"targets": success({"activeTargets": 5})},
        {"query": vector(value=[1e9, "1"], values=[[1e9, "1"]]), "flags": success(5)},
        {"query": _NOTHING, "values": success([]), "targets": success({"activeTargets": 5})},
        {"query": {**_ONE, "stats": 5}},  # VictoriaMetrics has an object there
    ],
)
def test_a_strange_answer_to_a_side_question_stops_nothing(capsys, answers):
    """What only some stores have may be missing as well."""
    with store(**answers) as url:
        assert main(["verify", "--prometheus", url]) in (0, 1)
    out = capsys.readouterr().out
    assert out.startswith("gluellm-pools verify:")
    assert ("Prometheus 3.16.0" in out) is ("flags" not in answers)


def test_half_a_surrogate_pair_in_a_label_is_replaced(capsys):
    """It can neither be sent nor printed."""
    labels = {**_LABELS, "job": "\ud800", "\udfff": "b"}
    row = {"metric": labels, "value": [1e9, "1"]}
    with store(query=success({"resultType": "vector", "result": [row]})) as url:
        for option in ([], ["--json"]):
            assert main(["verify", "--prometheus", url, *option]) in (0, 1)
            assert "\ud800" not in capsys.readouterr().out


def test_option_that_is_no_utf8_is_sent(capsys):
    """Python passes a byte that is no UTF-8 as half a surrogate pair."""
    with store() as url:
        assert main(["verify", "--prometheus", url, "--service", "\udcff"]) in (0, 1)
        assert len(Store(Address(url), 10).query('up{job="\udcff"}')) == 1
    assert "fault" not in capsys.readouterr().err


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_to_what_is_no_address_is_reported(capsys, code):
    """The standard library would parse it, although no redirect is followed."""

    def redirecting(handler, path):
        answer(handler, "", code, location="http://[bad/x")

    with serving(redirecting) as url:
        assert main(["verify", "--prometheus", url]) == 2
    error = capsys.readouterr().err
    assert "it redirects, which is not followed" in error


@pytest.mark.parametrize(
    ("raised", "status", "parts"),
    [
        (RuntimeError("a detail"), 2, ["fault of gluellm-pools", "RuntimeError"]),
        (KeyboardInterrupt(), 130, []),
    ],
)
def test_unexpected_exception_is_no_wrong_data(capsys, monkeypatch, raised, status, parts):
    """Exit status 2, and a request for a report. Ctrl-C keeps its own status."""
    monkeypatch.setattr(product, "recognize", Mock(side_effect=raised))
    assert main(["verify", "--prometheus", "http://h"]) == status
    error = capsys.readouterr().err
    assert all(part in error for part in parts)


def test_a_histogram_is_a_row_and_no_number():
    """A native histogram has buckets instead of a value."""
    row = {"metric": {"__name__": "a", "b": "c"}, "histogram": [1, {"count": "1"}]}
    with store(query=success({"resultType": "vector", "result": [row]})) as url:
        (found,) = Store(Address(url), 10).query("a")
    assert found == Series("a", {"b": "c"}, [])
    with pytest.raises(RefusedError):
        _ = found.number


def test_the_report_can_go_to_a_file(capsys, tmp_path):
    """Standard output stays empty. A file that can't be written is one line and exit status 2."""
    with store() as url:
        assert main(["verify", "--prometheus", url, "-o", str(tmp_path / "report")]) == 1
        assert capsys.readouterr() == ("", "")
        assert "INGESTION PATH" in (tmp_path / "report").read_text()
        if Path("/dev/full").exists():
            assert main(["verify", "--prometheus", url, "-o", "/dev/full"]) == 2
    assert "stopped: No space left on device" in capsys.readouterr().err

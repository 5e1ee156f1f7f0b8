"""A snapshot as JSON, and back."""

import dataclasses
import gzip
import io
import json
import math
import types
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gluellm_diagnosis.diagnose import diagnose
from opentelemetry.instrumentation.gluellm.snapshots import format as snapshot_format
from opentelemetry.instrumentation.gluellm.snapshots.format import FORMAT, content_of
from opentelemetry.instrumentation.gluellm.snapshots.parts import Answer, Failure
from opentelemetry.instrumentation.gluellm.snapshots.snapshot import Snapshot
from opentelemetry.instrumentation.gluellm.version import __version__
from unit.gluellm_diagnosis.building import (
    a_connection,
    a_pool,
    a_request,
    a_snapshot,
    an_account,
    of_calls,
    the_calls,
    the_totals,
)

PLAIN = {
    str: st.text(max_size=5),
    int: st.integers(-(2**40), 2**40),
    float: st.floats(allow_nan=False, allow_infinity=False, max_value=1e15, min_value=-1e15),
    bool: st.booleans(),
    types.NoneType: st.none(),
}


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Any value of a type."""
    kind, of = get_origin(hint) or hint, get_args(hint)
    if kind in (Union, types.UnionType):
        return st.one_of([values(one) for one in of])
    if kind is tuple:
        return (
            st.lists(values(of[0]), max_size=2).map(tuple)
            if of[1:] == (...,)
            else st.tuples(*map(values, of))
        )
    if issubclass(kind, Mapping):
        return st.dictionaries(*map(values, of), max_size=2)
    if kind in PLAIN:
        return PLAIN[kind]
    hints = get_type_hints(kind)
    if dataclasses.is_dataclass(kind):
        hints = {field.name: hints[field.name] for field in dataclasses.fields(kind)}
    return st.builds(kind, **{name: values(one) for name, one in hints.items()})


def again(snapshot: Snapshot) -> Snapshot:
    """The snapshot after its way through a file."""
    return Snapshot.from_dict(json.loads(json.dumps(snapshot.to_dict(), allow_nan=False)))


def a_full_snapshot(ages: Any = (0.5, 70.0), counts: Any = (40, 30)) -> Snapshot:
    """A snapshot with something of each part."""
    requests = [a_request(phase, age) for phase in ("queued", "unread") for age in ages]
    connections = [a_connection("active", streams_active=1, streams_max=100)]
    failure = Failure(1.0, "read_timeout", 9.0, "reading", 3.0)
    answers = (Answer(1.0, None, 0.5, 0.5, 3), Answer(2.0, "gpt-4o", ages[0], 0.5, 3, 20, "a:1"))
    totals = the_totals(counts[0], failures=(failure,), answers=answers, leaks=1)
    minutes = [of_calls(50), *[of_calls(50, errors={"503": count % 50}) for count in counts]]
    calls = (the_calls(ages={0.017: 1, 8.59: 2}),)
    return a_snapshot(totals, a_pool(requests, connections), calls=calls, **an_account(*minutes))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(values(Snapshot))
def test_every_snapshot_is_the_same_after_its_way_through_a_file(snapshot):
    """Whatever the values of its fields are."""
    assert again(snapshot) == snapshot


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(0, 1000), min_size=1, max_size=9),
    st.lists(st.integers(1, 1000), min_size=1, max_size=9),
)
def test_findings_are_the_same_after_its_way_through_a_file(ages, counts):
    """With the same numbers in their text."""
    snapshot = a_full_snapshot(ages, counts)
    assert again(snapshot) == snapshot
    assert diagnose(again(snapshot)) == diagnose(snapshot)


def test_the_file_names_its_format_and_the_version_that_wrote_it():
    """Keys that are no text are lists, so that each of their parts keeps its type."""
    content = a_full_snapshot().to_dict()
    assert (content["format"], content["version"]) == (FORMAT, __version__)
    subjects = [subject for subject, _ in content["account"]["rows"][-1]["numbers"]]
    assert ["calls", "any_llm", "openai"] in subjects
    assert [8.59, 2] in content["process"]["calls"][0]["ages"]


def test_unknown_fields_are_ignored_and_missing_ones_take_the_default():
    """Files of newer and of older versions can be read."""
    snapshot = a_full_snapshot()
    content = snapshot.to_dict()
    content["new"] = content["process"]["new"] = content["pools"][0]["new"] = {"some": ["thing"]}
    content["totals"][0]["answers"][0].append("more")
    assert Snapshot.from_dict(content) == snapshot
    del content["account"], content["process"]["gluellm"], content["pools"][0]["requests"]
    content["totals"][0]["answers"] = [[1.0, None, 0.5, 0.5, 3]]
    content["totals"][0]["failures"] = [[1.0, "cancelled", 9.0, "reading", 3.0, "gpt-4o"]]
    found = Snapshot.from_dict(content)
    assert (found.account.rows, found.process.gluellm, found.pools[0].requests) == ((), False, ())
    assert found.totals[0].answers == (Answer(1.0, None, 0.5, 0.5, 3),)
    assert found.totals[0].failures[0].model == "gpt-4o"


def test_newer_format_is_refused():
    """Its fields may have another meaning."""
    content = {**a_snapshot().to_dict(), "format": FORMAT + 2, "version": "9.1\x1b"}
    with pytest.raises(ValueError) as error:
        Snapshot.from_dict(content)
    assert str(error.value) == (
        f"written by version 9.1?, format {FORMAT + 2}; this doctor reads up to {FORMAT}"
    )


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ((), [], "the snapshot: expected an object, found a list"),
        (("format",), None, "format: expected a whole number, found nothing"),
        (("format",), "1", "format: expected a whole number, found '1'"),
        (("uptime",), "soon\x1b", "uptime: expected a number, found 'soon\\x1b'"),
        (("uptime",), math.nan, "uptime: expected a number, found nan"),
        (("uptime",), -math.inf, "uptime: expected a number, found -inf"),
        (("uptime",), 10**400, "uptime: expected a number, found 1000"),
        (("uptime",), True, "uptime: expected a number, found True"),
        (("process",), None, "process: expected an object, found nothing"),
        (("process", "pid"), 17.5, "process.pid: expected a whole number, found 17.5"),
        (("pools",), {}, "pools: expected a list, found an object"),
        (("pools", 0, "name"), 7, "pools[0].name: expected text, found 7"),
        (("pools", 0, "requests", 1, "age"), [], "pools[0].requests[1].age: expected a number"),
        (("totals", 0, "answers", 0), [1.0], "totals[0].answers[0]: expected 5 items, found 1"),
        (("totals", 0, "answers", 0, 2), "", "totals[0].answers[0][head]: expected a number"),
        (("totals", 0, "anomalies"), {"\n": ""}, "totals[0].anomalies.?: expected a whole number"),
        (("account", "total", 0), ["calls"], "account.total[0]: expected 2 items, found 1"),
        (("account", "total", 0, 0, 1), 3, "account.total[0][0][1]: expected text, found 3"),
    ],
)
def test_wrong_field_is_named_with_what_was_expected(path, value, message):
    """On one line, however long or odd the value is."""
    content: Any = a_full_snapshot().to_dict()
    at = content
    for step in path[:-1]:
        at = at[step]
    if path:
        at[path[-1]] = value
    with pytest.raises(ValueError) as error:
        Snapshot.from_dict(content if path else value)
    assert str(error.value).startswith(message)
    assert len(str(error.value)) < 200
    assert str(error.value).isprintable()


def test_infinity_is_not_written():
    """JSON has none. An application can set it as a limit, where None has the same meaning."""
    snapshot = a_snapshot((), a_pool(keepalive_expiry=math.inf, read_timeout=math.nan))
    (pool,) = again(snapshot).pools
    assert (pool.keepalive_expiry, pool.read_timeout) == (None, None)


def test_limit_that_is_a_whole_float_is_read():
    """httpx takes a limit of 10.0 connections."""
    pool: Any = replace(a_pool(), max_connections=10.0)
    assert again(a_snapshot((), pool)).pools[0].max_connections == 10


GOOD = json.dumps(a_snapshot().to_dict()).encode()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (gzip.compress(b""), "it is empty"),
        (GOOD[:-20], "it is not JSON, or cut off, at line 1, column "),
        (gzip.compress(GOOD)[:-20], "its gzip data is cut off"),
        (gzip.compress(GOOD)[:9] + b"\xff" * 30, "its gzip data is damaged"),
        (b"\x7fELF\x02\x01\xff\xfe", "it is not text"),
        (b"GIF89a", "it is not JSON, or cut off, at line 1, column 1"),
        (b"[" * 200_000, "it is not JSON of a snapshot"),
        (b"9" * 5000, "it is not JSON of a snapshot"),
        (gzip.compress(b" " * (64 * 1024**2 + 1)), "it has more than 64 MB"),
    ],
    ids=range(11),
)
def test_file_that_cannot_be_read_is_refused_with_the_reason(data, reason):
    with pytest.raises(ValueError) as error:
        content_of(io.BytesIO(data))
    assert str(error.value).startswith(reason)


def test_no_more_than_the_bound_is_read_or_unpacked(monkeypatch):
    """A device without an end, and a small file that unpacks to gigabytes."""
    monkeypatch.setattr(snapshot_format, "MOST_BYTES", 1 << 20)
    read: list[int] = []

    class Endless(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            read.append(size)
            return b" " * size

    for file in (Endless(), io.BytesIO(gzip.compress(b" " * (1 << 24)))):
        with pytest.raises(ValueError, match="it has more than 1 MB"):
            content_of(file)  # type: ignore[arg-type]
    assert read == [(1 << 20) + 1]


def test_compressed_file_is_read_by_its_content():
    """A name does not count, as standard input has none."""
    assert content_of(io.BytesIO(GOOD)) == content_of(io.BytesIO(gzip.compress(GOOD)))

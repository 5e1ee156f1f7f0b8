"""``gluellm-pools verify``, whose store answers anything."""

from __future__ import annotations

import contextlib
import http.server
import io
import itertools
import json
import re
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from hypothesis import strategies as st

from gluellm_pools.main import main
from gluellm_pools.prometheus import metric_name
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from unit.gluellm_pools.verify.server import answer, serving

from .target import Target, assert_clean
from .texts import FLOATS, TEXTS, anything, integers

_NAMES = [metric_name(metric) for metric in semconv.METRICS]
_KEYS = "__name__ job instance service_name service_instance_id le gluellm_pool_name exported_job"
_VALUES = st.one_of(
    st.sampled_from(("1", "0", "-1", "NaN", "+Inf", "1e400", "0x10", "", "1_0", "\u0663")),
    FLOATS,
    FLOATS.map(str),
    integers(-(2**70), 2**70),
)
_ANYTHING = anything(
    st.sampled_from("status data result resultType metric value error version".split())
)
_LABELS = st.dictionaries(
    st.one_of(st.sampled_from(_KEYS.split()), TEXTS),
    st.one_of(st.sampled_from(["api", "a:1", *_NAMES]), TEXTS),
    max_size=5,
)
_TIMES = st.one_of(st.just(1e9), FLOATS, integers(-(2**70), 2**70))
_ROWS = st.lists(
    st.fixed_dictionaries(
        {"metric": _LABELS},
        optional={
            "value": st.tuples(_TIMES, _VALUES),
            "values": st.lists(st.tuples(_TIMES, _VALUES), max_size=3),
        },
    ),
    max_size=4,
)
_GOOD_ROWS = st.lists(
    st.builds(
        lambda labels, value: {"metric": {"__name__": _NAMES[0], **labels}, "value": (1e9, value)},
        _LABELS,
        st.one_of(st.just("1"), FLOATS.map(str)),
    ),
    min_size=1,
    max_size=4,
)


def _bytes(value: Any) -> bytes:
    return json.dumps(value).encode()


def _success(data: Any) -> bytes:
    return _bytes({"status": "success", "data": data})


def _vector(rows: Any) -> bytes:
    return _success({"resultType": "vector", "result": rows})


_GOOD = _GOOD_ROWS.map(_vector)
_CUT = st.tuples(_GOOD, st.floats(0, 1)).map(lambda two: two[0][: int(len(two[0]) * two[1])])
_BAD = (_ANYTHING.map(_success), _ANYTHING.map(_bytes), st.binary(max_size=60))
_QUERIES = st.one_of(_GOOD, _GOOD, _ROWS.map(_vector), *_BAD, _CUT)
_SIDE = st.one_of(st.just(_success({})), *_BAD)


class Stores(Target):
    """One run of ``verify``, whose questions are answered in turn by what was drawn."""

    name = "verify and the answers of a store"
    share = 0.12

    def __enter__(self) -> Self:
        self._ended = contextlib.ExitStack()
        self._url = self._ended.enter_context(serving(self._answer))
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.close()

    def inputs(self) -> st.SearchStrategy[Any]:
        some = st.lists(st.one_of(st.sampled_from(_NAMES), TEXTS), max_size=6)
        known = st.just(_success(_NAMES))
        names = st.one_of(known, known, some.map(_success), _SIDE)
        statuses = st.sampled_from((200, 200, 200, 200, 200, 400, 404, 422, 500, 301))
        return st.tuples(
            st.lists(_QUERIES, min_size=1, max_size=8), names, _SIDE, statuses, st.booleans()
        )

    def take(self, given_input: tuple[list[bytes], bytes, bytes, int, bool]) -> str:
        queries, self._names, self._side, self._status, as_json = given_input
        self._queries = itertools.cycle(queries)
        arguments = ["verify", "--prometheus", self._url, "--timeout", "15"]
        printed, said = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said):
            status = main([*arguments, *(["--json"] if as_json else [])])
        report = printed.getvalue()
        assert status in (0, 1, 2), status
        assert not re.search("Traceback|fault of gluellm", said.getvalue()), said.getvalue()
        assert_clean(said.getvalue())
        if as_json and report:
            json.loads(report)
            assert report.isascii()
        else:
            assert_clean(report)
        return f"exit status {status}"

    def _answer(self, handler: http.server.BaseHTTPRequestHandler, path: str) -> None:
        length = int(handler.headers.get("content-length", 0))
        form = handler.rfile.read(length).decode() or urlsplit(handler.path).query
        if path.endswith("/values"):
            answer(handler, self._names)
        elif parse_qs(form).get("query") == ["time()"] and self._side != b"":
            answer(handler, _success({"resultType": "scalar", "result": [1e9, "1e9"]}))
        elif path.endswith("/query"):
            answer(handler, next(self._queries), self._status)
        else:
            answer(handler, self._side)

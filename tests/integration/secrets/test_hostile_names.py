"""Names from the application or its users are bounded, printable and exportable."""

import contextlib
import logging
from typing import Any

import grpc
import pytest
import urllib3

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.libraries import Library
from support.script import Reply

from .hostile import LONGEST_LABEL, TEXTS, assert_all_printable, printable
from .outcomes import age_requests

HOSTS = {
    **TEXTS,
    "a million characters": "a" * 1_000_000,
    "a name that is too long": ".".join(["a" * 60] * 10),
    "a homograph": "\u0430pi.openai.com",
    "a punycode that is none": "xn--\u0430",
    "a dot": ".",
    "nothing": "",
    "a zone": "fe80::1%eth0\x1b[31m",
    "brackets": "[::1]]",
    "percents": "a%00b%0ac",
}
PORTS = (0, -1, 65536, 2**63, 10**30, True, None, "80", "²")


def ask(library: Library, host: bytes, port: Any) -> None:
    """Send a request with a bare pool, which checks least."""
    url = library.core.URL(scheme=b"http", host=host, port=80, target=b"/")
    url.port = port
    with library.core.ConnectionPool() as pool, contextlib.suppress(Exception):
        request = library.core.Request("GET", url, extensions={"timeout": {"connect": 0.5}})
        pool.handle_request(request)


@pytest.mark.parametrize("name", ["httpx", "httpx2"])
def test_invalid_host_or_port_is_reported_as_other(name, places, caplog):
    """Points with ``_OTHER`` can be exported."""
    library = Library.load(name)
    for host in HOSTS.values():
        ask(library, host.encode("utf-8", "surrogatepass"), 80)
        with library.client.Client(verify=False) as client, contextlib.suppress(Exception):
            client.get(f"http://{host}/", timeout=0.5)
    for port in PORTS:
        ask(library, b"127.0.0.1", port)
    with caplog.at_level(logging.WARNING, "opentelemetry"):
        places.look()
    # The OTLP encoder logs numbers beyond 64 bits and halves of surrogate pairs.
    assert not [r for r in caplog.records if "encode" in r.getMessage()]
    assert_all_printable(places)
    origins = {total.origin for total in snapshot().totals[0].origins}
    assert "_OTHER" in origins
    assert all(len(origin) < 260 for origin in origins)
    assert not any(str(2**63) in origin for origin in origins)


def test_any_grpc_target_or_urllib3_host_is_bounded_and_printable(places):
    """gRPC accepts any target until the first call. urllib3 accepts any host and port."""
    targets = [
        form.format(text.replace("\x00", "")[:5000])
        for text in HOSTS.values()
        for form in ("{}", "{}:443", "dns:///{}:50051", "x-resolver:{}")
    ]
    targets += [f"127.0.0.1:{port}" for port in ("²", "9" * 5000, "99999999999999999999", "-1")]
    for target in targets:
        with contextlib.suppress(Exception), grpc.insecure_channel(target) as channel:
            channel.unary_unary("/a/b")(b"", timeout=0.02)
    for host in HOSTS.values():
        for port in PORTS:
            with contextlib.suppress(Exception):
                pool = urllib3.HTTPConnectionPool(host, port, retries=False, timeout=0.05)
                pool.request("GET", "/")
    places.look()
    assert "gluellm.instrumentation.errors" not in places.texts["log"], places.texts["log"]
    assert_all_printable(places)


SECRETS = ("https://me:{}@host/v1", "sk-{}" + "x" * 60, "{}\n", "\x1b[31m{}")
"""URLs or keys that are passed as the name of a pool."""


def test_pool_name_is_short_and_printable_or_refused(places):
    """The error does not contain a refused name."""
    secret = places.plant("the name of a pool")
    with Library.load("httpx").client.Client(verify=False) as client:
        for name in (*TEXTS.values(), *(form.format(secret) for form in SECRETS)):
            if printable(name) and len(name) <= 64 and "://" not in name:
                GlueLLMInstrumentor.instrument_client(client, name)
                GlueLLMInstrumentor.uninstrument_client(client)
                continue
            with pytest.raises(ValueError, match="pool_name") as raised:
                GlueLLMInstrumentor.instrument_client(client, name)
            assert printable(str(raised.value))
            assert len(str(raised.value)) < 200
            places.add("the refusals of names", str(raised.value))
    places.assert_no_canary()


@pytest.mark.parametrize("places", [{"model_attributes": True}], indirect=True)
def test_hostile_model_name_is_bounded_and_printable(server, places, caplog):
    """It can come from users of the application, and is in attributes and in the log."""
    pytest.importorskip("openai")
    any_llm = pytest.importorskip("any_llm")
    server.reply("/v1/chat/completions", *[Reply(status=400) for _ in TEXTS])
    question: Any = [{"role": "user", "content": "hi"}]
    llm = any_llm.AnyLLM.create("openai", api_key="k", api_base=server.url("/v1"))
    for text in TEXTS.values():
        with contextlib.suppress(Exception):
            llm.completion(model=text, messages=question)
    age_requests(0)
    with caplog.at_level(logging.WARNING, "opentelemetry"):
        places.look()
    assert not [r for r in caplog.records if "encode" in r.getMessage()]
    assert_all_printable(places)
    models = {
        str(point.attributes[semconv.REQUEST_MODEL])
        for points in places.telemetry.collect().values()
        for point in points
        if semconv.REQUEST_MODEL in point.attributes
    }
    assert len(models) >= len(TEXTS) / 2
    assert max(map(len, models)) == LONGEST_LABEL

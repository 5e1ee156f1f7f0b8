"""Stores that cannot be queried are reported; none hangs or fills the memory."""

import contextlib
import socket
import ssl
import time

import pytest
import trustme

from gluellm_pools.main import main
from gluellm_pools.verify import client
from gluellm_pools.verify.address import Address
from gluellm_pools.verify.client import Store

from .server import answer, serving

_LOGIN = "<html><title>Please sign in</title></html>"


@pytest.fixture
def verify(capsys):
    """Run the command on a store that it cannot query; return its standard error."""

    def command(url, *options):
        status = main(["verify", "--prometheus", url, *options])
        printed = capsys.readouterr()
        assert not printed.out
        assert status == 2
        assert "\x1b" not in printed.err
        assert "Traceback" not in printed.err
        return printed.err

    return command


def replying(*arguments, **headers):
    """Answer each path with these arguments."""
    return lambda handler, path: answer(handler, *arguments, **headers)


def one_path(where, body, otherwise, status, **headers):
    """Answer paths that contain ``where`` with a body, and others with ``otherwise``."""
    return lambda handler, path: (
        answer(handler, body) if where in path else answer(handler, otherwise, status, **headers)
    )


_BUILD = {"status": "success", "data": {"version": "3.16.0"}}
_MIMIR = {"status": "success", "data": {"application": "Grafana Mimir"}}
_SCRAPED = "text/plain; version=0.0.4; charset=utf-8"
_OTHERS = "https://u:secret@other.example/x/api/v1/status/buildinfo"


@pytest.mark.parametrize(
    ("answering", "parts"),
    [
        (
            one_path(
                "/api/health",
                {"database": "ok", "version": "12.3.0", "commit": "x"},
                {"message": "Not found"},
                404,
            ),
            ["this is Grafana", "data source"],
        ),
        # A redirect is not followed: its host would get the headers.
        (
            one_path("/login", _LOGIN, "", 302, location="/login?next=/api/v1/status/buildinfo"),
            ["it redirects", "for a login page, credentials with --header"],
        ),
        (replying("", 301, location=_OTHERS), ["it redirects, which is not followed"]),
        *(
            (replying("no", status), [f"HTTP status {status}", "--header", "GLUELLM_POOLS_HEADERS"])
            for status in (401, 403)
        ),
        (replying("<title>Shop \x1b[31m</title>"), ["not the HTTP API of Prometheus"]),
        # Mimir has its API under a path.
        (
            one_path(
                "/prometheus/api/v1/status",
                _MIMIR,
                "404 page not found",
                404,
                content_type="text/plain",
            ),
            ["such as /prometheus for Mimir"],
        ),
        # prometheus_client answers each path with its metrics.
        (
            replying("# HELP a b\n# TYPE a gauge\na 1\n", content_type=_SCRAPED),
            ["this is a page to be scraped"],
        ),
        (
            one_path(
                "buildinfo", _BUILD, {"status": "error", "error": "too \x1b[31mmany series"}, 422
            ),
            ["rejects a query: too ?[31mmany series"],
        ),
        *(
            (replying(body), [])
            for body in (
                {"status": "success", "data": None},
                {"status": "success", "data": {"resultType": "vector", "result": [{"value": "x"}]}},
                {"status": "success", "data": {"result": [3]}},
                {"status": "success", "data": []},
                {"status": "error", "error": "\x1b[31mno"},
                {"status": 3},
            )
        ),
    ],
)
def test_server_that_is_no_store_is_reported(verify, answering, parts):
    """It is named and refused; its control characters do not reach the terminal."""
    with serving(answering) as url:
        text = verify(url)
        for part in parts:
            assert part.format(url=url) in text
    assert "secret" not in text


def test_credentials_are_sent_and_never_printed(verify, monkeypatch):
    """They come from the option, the environment and the URL."""
    seen = []

    def note(handler, path):
        seen.append(dict(handler.headers))
        answer(handler, _LOGIN)

    monkeypatch.setenv("GLUELLM_POOLS_HEADERS", "X-Scope-OrgID=secret%2D1")
    with serving(note) as url:
        url = url.replace("//", "//me:secret-2@")
        text = verify(url, "--header", "X-Key=secret-3")
    assert "secret" not in text
    assert seen[0]["X-Scope-Orgid"] == "secret-1"
    assert seen[0]["X-Key"] == "secret-3"
    assert seen[0]["Authorization"].startswith("Basic ")


def test_queries_include_the_newest_samples():
    """VictoriaMetrics hides the last 30 s otherwise."""
    asked = []

    def note(handler, path):
        asked.append(handler.path)
        answer(handler, {"status": "success", "data": {"resultType": "vector", "result": []}})

    with serving(note) as url:
        assert Store(Address(url), 30.0).query("up") == []
    assert "nocache=1" in asked[0]


def test_silent_and_missing_servers_are_reported(verify):
    """A silent server accepts the connection and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        began = time.monotonic()
        text = verify(f"http://127.0.0.1:{server.getsockname()[1]}", "--timeout", "0.3")
        assert "no answer to all queries within --timeout" in text
        assert time.monotonic() - began < 30
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        text = verify(f"http://127.0.0.1:{bound.getsockname()[1]}")
    assert "check that this machine can reach it" in text
    assert "refused" in text


def test_slow_server_ends_at_the_deadline(verify):
    """Each byte would restart a socket timeout."""

    def trickle(handler, path):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while True:
            handler.wfile.write(b"x")
            time.sleep(0.05)

    with serving(trickle) as url:
        began = time.monotonic()
        text = verify(url, "--timeout", "0.4")
    assert time.monotonic() - began < 30
    assert "no answer to all queries within --timeout" in text


def test_too_long_an_answer_is_refused(verify, monkeypatch):
    """Its bytes beyond the limit are not kept."""
    monkeypatch.setattr(client, "MOST_BYTES", 2**20)
    with serving(lambda handler, path: answer(handler, b"x" * 2**22)) as url:
        text = verify(url)
    assert "longer than 1 MiB" in text


def test_untrusted_certificate_and_wrong_scheme_are_reported(verify):
    """The message names the variable for a certificate authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with serving(replying("x"), context) as url:
        text = verify(url)
        assert "certificate is not trusted" in text
        assert "SSL_CERT_FILE" in text
        assert "https://" in verify(url.replace("https", "http"))
    with serving(replying("x")) as url:
        assert "begins with http://" in verify(url.replace("http", "https"))


def test_a_server_without_http_is_reported(verify):
    """An SSH server, for instance."""
    import threading

    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet():
            with contextlib.suppress(OSError):  # closed below: it was asked once only
                for _ in range(2):
                    connection, _ = server.accept()
                    with connection:
                        connection.sendall(b"SSH-2.0-x\r\n")

        threading.Thread(target=greet, daemon=True).start()
        text = verify(f"http://127.0.0.1:{server.getsockname()[1]}")
    assert "does not speak HTTP" in text

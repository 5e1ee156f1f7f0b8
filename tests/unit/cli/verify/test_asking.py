"""What can't be asked is told apart, and neither hangs nor fills the memory."""

import contextlib
import socket
import ssl
import time

import pytest
import trustme

from opentelemetry.instrumentation.gluellm.cli.main import main
from opentelemetry.instrumentation.gluellm.cli.verify import asking

from .server import answer, serving

_LOGIN = "<html><title>Please sign in</title></html>"


@pytest.fixture
def verify(capsys):
    """The command's exit status and what it says on standard error."""

    def command(url, *options):
        status = main(["verify", "--prometheus", url, *options])
        printed = capsys.readouterr()
        assert not printed.out
        return status, printed.err

    return command


def test_grafana_is_told_from_its_data_source(verify):
    """It answers with its own API's 404, and its health tells who it is."""

    def grafana(handler, path):
        if path == "/api/health":
            answer(handler, {"database": "ok", "version": "12.3.0", "commit": "x"})
        else:
            answer(handler, {"message": "Not found"}, 404)

    with serving(grafana) as url:
        status, text = verify(url)
    assert status == 2
    assert "this is Grafana" in text
    assert "data source" in text


def test_a_login_page_is_told(verify):
    """By a redirect, which is not followed."""

    def login(handler, path):
        assert path != "/login"
        answer(handler, "", 302, location="/login?next=/api/v1/status/buildinfo")

    with serving(login) as url:
        status, text = verify(url)
    assert status == 2
    assert "it redirects to a login page" in text


def test_another_redirect_is_named_and_not_followed(verify):
    """Its host would get the headers; a password in it is not shown."""

    def elsewhere(handler, path):
        answer(
            handler, "", 301, location="https://u:secret@other.example/x/api/v1/status/buildinfo"
        )

    with serving(elsewhere) as url:
        status, text = verify(url)
    assert status == 2
    assert "redirects to https://other.example/x, which is not followed" in text
    assert "secret" not in text


@pytest.mark.parametrize("status", [401, 403])
def test_missing_credentials_are_asked_for(verify, status):
    """With the two ways to give them."""
    with serving(lambda handler, path: answer(handler, "no", status)) as url:
        exit_status, text = verify(url)
    assert exit_status == 2
    assert f"HTTP status {status}" in text
    assert "--header" in text
    assert "GLUELLM_POOLS_HEADERS" in text


def test_credentials_are_sent_and_never_told(verify, monkeypatch):
    """From the option, the environment and the URL."""
    seen = []

    def note(handler, path):
        seen.append(dict(handler.headers))
        answer(handler, _LOGIN)

    monkeypatch.setenv("GLUELLM_POOLS_HEADERS", "X-Scope-OrgID=secret%2D1")
    with serving(note) as url:
        url = url.replace("//", "//me:secret-2@")
        status, text = verify(url, "--header", "X-Key=secret-3")
    assert status == 2
    assert "secret" not in text
    assert seen[0]["X-Scope-Orgid"] == "secret-1"
    assert seen[0]["X-Key"] == "secret-3"
    assert seen[0]["Authorization"].startswith("Basic ")


def test_a_web_page_is_named_by_its_title(verify):
    """With the title made harmless."""
    page = "<title>Shop \x1b[31m</title>"
    with serving(lambda handler, path: answer(handler, page)) as url:
        status, text = verify(url)
    assert status == 2
    assert "not Prometheus' HTTP API: found a web page (Shop ?[31m)" in text


def test_a_store_one_step_further_is_pointed_at(verify):
    """Mimir has its API under a path."""

    def mimir(handler, path):
        if path.startswith("/prometheus/api/v1/status"):
            answer(handler, {"status": "success", "data": {"application": "Grafana Mimir"}})
        else:
            answer(handler, "404 page not found", 404, content_type="text/plain")

    with serving(mimir) as url:
        status, text = verify(url)
        assert status == 2
        assert f"give {url}/prometheus" in text


def test_a_page_to_be_scraped_is_told(verify):
    """prometheus_client answers each path with its metrics."""
    kind = "text/plain; version=0.0.4; charset=utf-8"
    page = "# HELP a b\n# TYPE a gauge\na 1\n"
    with serving(lambda handler, path: answer(handler, page, content_type=kind)) as url:
        status, text = verify(url)
    assert status == 2
    assert "this is a page to be scraped" in text


def test_a_silent_server_ends_at_the_deadline(verify):
    """It takes the connection, and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        began = time.monotonic()
        status, text = verify(f"http://127.0.0.1:{server.getsockname()[1]}", "--timeout", "0.3")
    assert status == 2
    assert "did not answer all within 0.3 s" in text
    assert time.monotonic() - began < 5


def test_a_server_that_sends_a_byte_now_and_then_ends_at_the_deadline(verify):
    """Each of its bytes would renew a socket's timeout."""

    def trickle(handler, path):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while True:
            handler.wfile.write(b"x")
            time.sleep(0.05)

    with serving(trickle) as url:
        began = time.monotonic()
        status, text = verify(url, "--timeout", "0.4")
    assert status == 2
    assert time.monotonic() - began < 5
    assert "did not answer all within 0.4 s" in text


def test_a_flood_is_cut_off(verify, monkeypatch):
    """An answer beyond the bound is refused, not kept."""
    monkeypatch.setattr(asking, "MOST_BYTES", 2**20)
    with serving(lambda handler, path: answer(handler, b"x" * 2**22)) as url:
        status, text = verify(url)
    assert status == 2
    assert "longer than 1 MiB" in text


def test_nobody_there_is_told(verify):
    """With what to check."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        status, text = verify(f"http://127.0.0.1:{bound.getsockname()[1]}")
    assert status == 2
    assert "nobody answers at 127.0.0.1:" in text
    assert "refused" in text


def test_a_certificate_that_is_not_trusted_is_told(verify):
    """With the variable that names one's own authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with serving(lambda handler, path: answer(handler, "x"), context) as url:
        status, text = verify(url)
        assert status == 2
        assert "certificate is not trusted" in text
        assert "SSL_CERT_FILE" in text
        status, text = verify(url.replace("https", "http"))
    assert status == 2
    assert "https://" in text


def test_http_where_tls_is_asked_for_is_told(verify):
    """The scheme is wrong."""
    with serving(lambda handler, path: answer(handler, "x")) as url:
        status, text = verify(url.replace("http", "https"))
    assert status == 2
    assert "begins with http://" in text


def test_what_speaks_no_http_is_told(verify):
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
        status, text = verify(f"http://127.0.0.1:{server.getsockname()[1]}")
    assert status == 2
    assert "speaks no HTTP" in text


@pytest.mark.parametrize(
    "body",
    [
        {"status": "success", "data": None},
        {"status": "success", "data": {"resultType": "vector", "result": [{"value": "x"}]}},
        {"status": "success", "data": {"result": [3]}},
        {"status": "success", "data": []},
        {"status": "error", "error": "\x1b[31mno"},
        {"status": 3},
    ],
)
def test_a_strange_answer_is_refused_and_not_believed(verify, body):
    """Something that speaks JSON, and no PromQL."""
    with serving(lambda handler, path: answer(handler, body)) as url:
        status, text = verify(url)
    assert status == 2
    assert "\x1b" not in text
    assert "Traceback" not in text


def test_what_a_store_says_when_it_refuses_is_passed_on_harmless(verify):
    """Its reason, without what a terminal would obey."""

    def refusing(handler, path):
        if path.endswith("buildinfo"):
            answer(handler, {"status": "success", "data": {"version": "3.16.0"}})
        else:
            answer(handler, {"status": "error", "error": "too \x1b[31mmany series"}, 422)

    with serving(refusing) as url:
        status, text = verify(url)
    assert status == 2
    assert "refuses a question: too ?[31mmany series" in text


@pytest.mark.parametrize(
    "options",
    [
        ["--prometheus", "localhost:9090"],
        ["--prometheus", "http://h", "--header", "x"],
        ["--prometheus", "http://h", "--boards", "/nowhere"],
    ],
)
def test_arguments_that_can_t_be_used(capsys, options):
    """Exit status 2, before anything is asked."""
    assert main(["verify", *options]) == 2
    assert "gluellm-pools verify:" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--window", "3"], ["--window", "x"], ["--timeout", "nan"], []])
def test_wrong_options_are_explained(capsys, option):
    """By the parser."""
    with pytest.raises(SystemExit) as ended:
        main(["verify", *(["--prometheus", "http://h"] if option else []), *option])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert "allowed is" in error or "required" in error

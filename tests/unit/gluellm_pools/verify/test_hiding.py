"""Secrets that were sent are not printed, even if a store sends them back."""

import base64

import pytest

from gluellm_pools.main import main
from gluellm_pools.verify.hiding import Hiding

from .server import answer, serving
from .test_hostile import success

_PAIR = base64.b64encode(b"me:pass-word-1").decode()


def echoing(handler, path):
    """Answers as a store, and repeats the credentials in its error."""
    sent = handler.headers.get("authorization", "") + " " + handler.headers.get("x-key", "")
    if path.endswith("buildinfo"):
        answer(handler, success({"version": "3.16.0"}))
    elif path.endswith(("flags", "config")):
        answer(handler, success({}))
    else:
        scheme, credentials = sent.split()[:2]
        if scheme == "Basic":
            sent = f"{sent.strip()} {base64.b64decode(credentials).decode()}"
        answer(handler, {"status": "error", "error": f"bad token: {sent}"}, 400)


@pytest.mark.parametrize(
    "header", ["Authorization=Bearer SECRET123", f"Authorization=Basic {_PAIR}", "X-Key=SECRET123"]
)
@pytest.mark.parametrize("option", [["--json"], []])
def test_credentials_echoed_by_a_store_are_not_printed(capsys, header, option):
    """The store repeats them in an error message."""
    more = [] if header.startswith("Auth") else ["--header", "Authorization=Bearer other-secret"]
    with serving(echoing) as url:
        status = main(["verify", "--prometheus", url, "--header", header, *more, *option])
    printed = capsys.readouterr()
    assert status == 2
    assert "refuses a question: bad token: " in printed.err
    assert "[hidden]" in printed.err
    for secret in ("SECRET123", "pass-word-1", _PAIR, "other-secret"):
        assert secret not in printed.out + printed.err


@pytest.mark.parametrize(
    "answering",
    [
        lambda handler, _: answer(handler, "", 302, location="https://other.example/SECRET123/x"),
        lambda handler, _: answer(handler, "<title>not for SECRET123</title>"),
    ],
)
def test_a_redirect_and_a_title_that_echo_credentials(capsys, answering):
    """The report on a page that is no store."""
    with serving(answering) as url:
        main(["verify", "--prometheus", url, "--header", "X-Key=SECRET123"])
    error = capsys.readouterr().err
    assert "[hidden]" in error
    assert "SECRET123" not in error


def test_a_key_is_hidden_in_labels_too_and_a_tenant_is_not():
    """A service may be named like its tenant, and what is judged needs its name."""
    sent = {"Authorization": "Bearer abcdefghijkl", "X-Scope-OrgID": "payments-production"}
    hiding = Hiding(sent)
    assert hiding.in_data("x=abcdefghijkl") == "x=[hidden]"
    assert hiding.in_data("payments-production") == "payments-production"
    assert hiding.in_message("no tenant payments-production") == "no tenant [hidden]"
    # A short value as a word only, or a tenant of the name 1 would take each 1 out.
    hiding = Hiding({"X-Scope-OrgID": "1", "Cookie": "a=top; b=secret"})
    assert hiding.in_message("tenant 1: limit 10000") == "tenant [hidden]: limit 10000"
    assert hiding.in_message("no session top or secret") == "no session [hidden] or [hidden]"
    assert Hiding().in_message("a b") == "a b"
    assert Hiding({"X-Empty": "", "Authorization": "Basic !"}).in_data("a b") == "a b"

"""Secrets that were sent are not printed, even if a store sends them back."""

import base64

import pytest

from gluellm_pools.main import main
from gluellm_pools.verify.address import Address

from .server import answer, serving
from .test_hostile import success

_PAIR = base64.b64encode(b"me:pass-word-1").decode()


def echoing(handler, path):
    """Answer like a store, and repeat the credentials in the error."""
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
    assert "rejects a query: bad token: " in printed.err
    assert "[hidden]" in printed.err
    for secret in ("SECRET123", "pass-word-1", _PAIR, "other-secret"):
        assert secret not in printed.out + printed.err


def test_a_key_is_hidden_in_labels_too_and_a_tenant_is_not():
    """A service can have the name of its tenant. A short value is hidden as a word only."""
    sent = {"Authorization": "Bearer abcdefghijkl", "X-Scope-OrgID": "payments"}
    address = Address("http://h", {**sent, "Cookie": "a=1; b=secret"})
    assert address.hide("Bearer xabcdefghijkl payments") == "Bearer x[hidden] payments"
    assert address.hide("a secret, 10000 secrets") == "a [hidden], 10000 secrets"
    basic = Address("http://h", {"Authorization": f"Basic {_PAIR}"})
    assert basic.hide("no user me with pass-word-1") == "no user me with [hidden]"
    assert Address("http://h", {"X-Empty": "", "Authorization": "Basic !"}).hide("a b") == "a b"

"""Bodies: what they expand to, and that they never expand beyond their bound."""

import gzip
import tracemalloc
import zlib

import pytest

from gluellm_pools.watch.body import Body
from gluellm_pools.watch.limits import BODY_BYTES, EXPANDED_BYTES
from gluellm_pools.watch.refusal import RefusedError

TEXT = b"pools and more pools " * 500


def received(encoding: str, sent: bytes, chunk: int = 1000) -> bytes:
    """The body, come in chunks."""
    body = Body(encoding)
    for at in range(0, len(sent), chunk):
        body.add(sent[at : at + chunk])
    return body.finish()


def refusal(encoding: str, sent: bytes, chunk: int = 2**16) -> RefusedError:
    with pytest.raises(RefusedError) as found:
        received(encoding, sent, chunk)
    return found.value


@pytest.mark.parametrize(
    ("encoding", "sent"),
    [
        ("identity", TEXT),
        ("gzip", gzip.compress(TEXT)),
        ("deflate", zlib.compress(TEXT)),
        ("gzip", gzip.compress(TEXT[:3000]) + gzip.compress(TEXT[3000:])),
        ("gzip", gzip.compress(TEXT) + b"\0" * 512),
    ],
    ids=["identity", "gzip", "deflate", "two members", "padded"],
)
def test_a_body_is_what_was_sent(encoding, sent):
    """The body is split in different ways; an empty message is valid."""
    for chunk in (1, 7, 1000, 10**6):
        assert received(encoding, sent, chunk) == TEXT
    assert received(encoding, b"") == b""


GZIP, DEFLATE = gzip.compress(TEXT), zlib.compress(TEXT)


REFUSED = {
    "gzip cut": ("gzip", GZIP[:-9], "truncated"),
    "deflate cut": ("deflate", DEFLATE[:-1], "truncated"),
    "text as gzip": ("gzip", TEXT, "not gzip"),
    "text as deflate": ("deflate", TEXT, "not deflate"),
    "junk after gzip": ("gzip", GZIP + b"junk", "not gzip"),
    "wrong checksum": ("gzip", GZIP[:-8] + b"\0" * 8, "not gzip"),
    "junk after deflate": ("deflate", DEFLATE + b"junk", "goes on after its end"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_body_that_is_not_compressed_as_declared_is_refused(what):
    """400, and what is wrong with it."""
    encoding, sent, said = REFUSED[what]
    error = refusal(encoding, sent)
    assert error.status == 400
    assert said in error.message


def test_a_body_larger_than_the_bound_is_refused():
    """413 as soon as it is, and not when it ends."""
    error = refusal("identity", bytes(BODY_BYTES + 1))
    assert error.status == 413
    assert str(BODY_BYTES) in error.message
    assert len(received("identity", bytes(BODY_BYTES))) == BODY_BYTES


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_bomb_is_refused_before_it_expands(encoding):
    """200 MiB in 200 kB: little more than the bound is ever held."""
    compress = gzip.compress if encoding == "gzip" else zlib.compress
    bomb = compress(bytes(200 * 2**20), 1)
    tracemalloc.start()
    try:
        error = refusal(encoding, bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert error.status == 413
    assert str(EXPANDED_BYTES) in error.message
    assert peak < 3 * EXPANDED_BYTES


def test_a_bomb_of_many_members_is_refused_and_one_in_another_is_expanded_once():
    """Each member alone is harmless. What comes out is no OTLP, and is not looked into."""
    member = gzip.compress(bytes(2**20))
    assert refusal("gzip", member * 17).status == 413
    assert refusal("gzip", gzip.compress(b"") * 1001).status == 413
    assert received("gzip", gzip.compress(member)) == member

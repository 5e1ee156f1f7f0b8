"""Where to ask, and with which credentials. What is secret is kept apart from what is printed."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit, urlunsplit

HEADERS_VARIABLE = "GLUELLM_POOLS_HEADERS"
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OF_PAGES = re.compile(r"/(api/v1(/.*)?|graph|query|classic/graph|vmui(/.*)?|targets)$")


class AddressError(ValueError):
    """The URL or a header can't be used; the message says why, without what could be a secret."""


@dataclass(frozen=True, slots=True)
class Address:
    """A store's base URL, as printed, and the headers that go with each request."""

    url: str
    """Without credentials, without a slash at its end."""
    headers: dict[str, str] = field(default_factory=dict, repr=False)


def read_address(text: str, headers: Sequence[str], variable: str | None) -> Address:
    """The address of ``--prometheus``, the ``--header`` options and the environment variable.

    A user and password in the URL become basic authentication. Raises AddressError.
    """
    try:
        parts = urlsplit(text.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        raise AddressError("the URL has no host and port that can be read") from None
    if parts.scheme not in ("http", "https") or not host:
        raise AddressError(
            "found no URL that begins with http:// or https:// and names a host. "
            "Give one as in: --prometheus http://localhost:9090"
        )
    if any(character.isspace() or not character.isprintable() for character in text.strip()):
        raise AddressError("the URL holds a space or a control character")
    place = f"[{host}]" if ":" in host else host
    if port is not None:
        place += f":{port}"
    path = _OF_PAGES.sub("", parts.path.rstrip("/"))
    sent = {}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        sent["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    for name, value in [*_of_variable(variable), *map(_of_option, headers)]:
        sent = {known: old for known, old in sent.items() if known.lower() != name.lower()}
        sent[name] = value
    return Address(urlunsplit((parts.scheme, place, path, "", "")), sent)


def _of_variable(variable: str | None) -> list[tuple[str, str]]:
    # As OTEL_EXPORTER_OTLP_HEADERS is written: name=value,name=value, values percent-encoded.
    pairs = [pair for pair in (variable or "").split(",") if pair.strip()]
    return [_header(pair, "=", HEADERS_VARIABLE, decoded=True) for pair in pairs]


def _of_option(text: str) -> tuple[str, str]:
    return _header(text, "=", "--header", decoded=False)


def _header(text: str, sign: str, where: str, *, decoded: bool) -> tuple[str, str]:
    name, found, value = text.partition(sign)
    name, value = name.strip(), value.strip()
    if decoded:
        value = unquote(value)
    # The value may be a key, and so may a name that is none: neither is printed.
    if not found or not _HEADER_NAME.fullmatch(name):
        raise AddressError(f"a header of {where} is not of the form NAME=VALUE")
    if not value.isprintable() or not value.isascii():
        raise AddressError(f"the value of a header of {where} has characters that no header has")
    return name, value

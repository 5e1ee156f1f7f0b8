"""The store's address and the headers to send, from the arguments and the environment."""

from __future__ import annotations

import base64
import contextlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from ..arguments import CommandError

HIDDEN = "[hidden]"
_TENANT = "x-scope-orgid"
"""The header with a tenant's name, which is no secret and can be a service's name as well."""
_LONG = 12
HEADERS_VARIABLE = "GLUELLM_POOLS_HEADERS"
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PAGES = re.compile(r"/(api/v1(/.*)?|graph|query|classic/graph|vmui(/.*)?|targets)$")
"""Paths of the stores' web pages, which users copy from their browser."""


class AddressError(CommandError):
    """The URL or a header is invalid. The message never contains a header's value."""


@dataclass(frozen=True, slots=True)
class Address:
    """A store's base URL and the headers of each request."""

    url: str
    """Without credentials and without a trailing slash."""
    headers: dict[str, str] = field(default_factory=dict, repr=False)

    def hide(self, text: str) -> str:
        """Remove credentials from a response, because some gateways repeat them."""
        secrets = {secret for pair in self.headers.items() for secret in _secrets(*pair)}
        # The longest first, or the rest of a longer secret would remain.
        for secret in sorted(secrets, key=len, reverse=True):
            pattern = re.escape(secret)
            if len(secret) < _LONG:  # it can be a part of another word by chance
                pattern = rf"(?<!\w){pattern}(?!\w)"
            text = re.sub(pattern, HIDDEN, text)
        return text


def _secrets(name: str, value: str) -> Iterator[str]:
    parts = [] if name.lower() == _TENANT else [value]
    for part in re.split(r"[\s;]+", "".join(parts)):
        parts += [part, part.partition("=")[2]]  # of a cookie
        with contextlib.suppress(ValueError):  # basic authentication
            pair = base64.b64decode(part, validate=True).decode()
            parts += [pair, pair.partition(":")[2]]
    for part in parts:
        if len(part) >= 4 and part not in ("Basic", "Bearer"):
            yield from (part, quote(part, safe=""), json.dumps(part)[1:-1])


def read_address(text: str, headers: Sequence[str], variable: str | None) -> Address:
    """Parse ``--prometheus``, the ``--header`` options and the environment variable.

    A user and password in the URL become basic authentication. Raises AddressError.
    """
    try:
        parts = urlsplit(text.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        raise AddressError("the URL has no valid host and port") from None
    if parts.scheme not in ("http", "https") or not host:
        raise AddressError("the URL must begin with http(s)://, such as http://localhost:9090")
    if any(character.isspace() or not character.isprintable() for character in text.strip()):
        raise AddressError("the URL contains a space or a control character")
    sent = {}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        sent["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    pairs = [pair for pair in (variable or "").split(",") if pair.strip()]
    given = [(*_header(pair, HEADERS_VARIABLE), True) for pair in pairs]
    given += [(*_header(pair, "--header"), False) for pair in headers]
    for name, value, is_encoded in given:
        value = unquote(value) if is_encoded else value
        if not value.isprintable() or not value.isascii():
            raise AddressError("the value of a header contains invalid characters")
        sent = {known: old for known, old in sent.items() if known.lower() != name.lower()}
        sent[name] = value
    place = (f"[{host}]" if ":" in host else host) + (f":{port}" if port is not None else "")
    path = _PAGES.sub("", parts.path.rstrip("/"))
    return Address(urlunsplit((parts.scheme, place, path, "", "")), sent)


def _header(text: str, where: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    # Neither part is printed: both can contain a key.
    if not separator or not _HEADER_NAME.fullmatch(name.strip()):
        raise AddressError(f"a header in {where} must be NAME=VALUE")
    return name.strip(), value.strip()

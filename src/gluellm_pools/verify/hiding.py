"""Credentials that were sent, taken out of what comes back: some gateways echo them."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote

HIDDEN = "[hidden]"
_LONG = 12
"""Characters from which on a text is no word by chance. A shorter password may be a service's name
as well, without which nothing could be judged: it is left in labels, and hidden in messages."""
_TENANTS = ("x-scope-orgid",)
"""Headers that say who, not that one may: their values are often the values of labels too."""


class Hiding:
    """The values of these headers, and what is in them."""

    def __init__(self, headers: Mapping[str, str] | None = None) -> None:
        known = {
            secret: name.lower()
            for name, value in (headers or {}).items()
            for secret in _secrets(name, value)
        }
        # The longest first, or its end would be left.
        secrets = sorted(filter(None, known), key=len, reverse=True)
        self._message = _any_of(secrets)
        self._data = _any_of(
            [one for one in secrets if len(one) >= _LONG and known[one] not in _TENANTS]
        )

    def in_message(self, text: str) -> str:
        """A text that is only told."""
        return text if self._message is None else self._message.sub(HIDDEN, text)

    def in_data(self, text: str) -> str:
        """A text that is judged, and asked with, as well."""
        return text if self._data is None else self._data.sub(HIDDEN, text)


def _secrets(name: str, value: str) -> Iterator[str]:
    for secret in _parts(name.lower(), value.strip()):
        yield secret
        yield quote(secret, safe="")


def _parts(name: str, value: str) -> Iterator[str]:
    yield value
    if name == "cookie":
        for pair in value.split(";"):
            yield pair.partition("=")[2].strip()
    scheme, _, rest = value.partition(" ")
    rest = rest.strip()
    yield rest
    if scheme.lower() == "basic":
        try:
            pair = base64.b64decode(rest + "==").decode("utf-8", "replace")
        except ValueError:
            return
        yield pair
        yield pair.partition(":")[2]


def _any_of(secrets: list[str]) -> re.Pattern[str] | None:
    patterns = [
        # A tenant of the name 1 is no reason to hide each 1.
        re.escape(one) if len(one) >= _LONG else rf"(?<!\w){re.escape(one)}(?!\w)"
        for one in secrets
    ]
    return re.compile("|".join(patterns)) if patterns else None

"""Secrets to plant, and how to find them again in whatever form they come out."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator
from urllib.parse import quote

_HALF = 10


class Canaries:
    """Tokens that stand nowhere else, each with the place that it was planted at."""

    def __init__(self) -> None:
        self.planted: dict[str, str] = {}
        """The tokens, by place."""
        self._forms: list[tuple[str, str, str]] = []

    def plant(self, place: str) -> str:
        """A token for a place: lower case, as hosts are told, and fit for a header's name."""
        if place not in self.planted:
            token = "q" + secrets.token_hex(11)
            self.planted[place] = token
            self._forms += [(place, form, text) for form, text in _forms(token)]
        return self.planted[place]

    def found_in(self, text: str) -> list[tuple[str, str]]:
        """The canaries in a text: the place of each, and its form with what stands around it."""
        lower = text.lower()
        found = []
        for place, form, wanted in self._forms:
            within = text if form.startswith("base64") else lower
            at = within.find(wanted)
            if at >= 0:
                around = text[max(at - 80, 0) : at + 80]
                found.append((place, f"{place} ({form}) in ...{around!r}..."))
        return found


def _forms(token: str) -> Iterator[tuple[str, str]]:
    # A half is enough: what shortens texts may have cut the rest off.
    yield "as it is, its beginning", token[:_HALF]
    yield "as it is, its end", token[-_HALF:]
    yield "backslash escapes", "".join(f"\\u{ord(letter):04x}" for letter in token[:_HALF])
    yield "backslash escapes of bytes", "".join(f"\\x{ord(letter):02x}" for letter in token[:_HALF])
    yield "percents", "".join(f"%{ord(letter):02x}" for letter in token[:_HALF])
    yield "hexadecimal", token[:_HALF].encode().hex()
    for before in range(3):
        # As a part of a longer text, which begins it at any of three places of a group of four.
        whole = base64.b64encode(b"\0" * before + token.encode()).decode()
        yield f"base64 from {before}", whole[4 if before else 0 :][: _HALF + 2]


def dressed(token: str) -> dict[str, str]:
    """The forms in which a token is planted, where more than the plain one goes."""
    return {
        "plain": token,
        "basic": base64.b64encode(f"user:{token}".encode()).decode(),
        "percents": "".join(f"%{ord(letter):02X}" for letter in token),
        "quoted": quote(f"/{token} &", safe=""),
        "json": json.dumps({"key": token}),
    }

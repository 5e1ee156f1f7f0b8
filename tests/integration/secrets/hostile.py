"""Strings that are harmful if they are printed or parsed, and checks that output is printable."""

import json
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from .places import Places

MARK = "evil"
"""Part of every hostile string, to find it in output even if it is cut."""

TEXTS = {
    "red": f"\x1b[31;5;7m{MARK}\x1b[0m",
    "cleared screen": f"\x1b[2J\x1b[H{MARK}",
    "link": f"\x1b]8;;http://{MARK}.example\x07{MARK}\x1b]8;;\x07",
    "clipboard": f"\x1b]52;c;{MARK}\x07",
    "title": f"\x1b]0;{MARK}\x1b\\",
    "eight-bit CSI": f"\x9b31m{MARK}",
    "eight-bit OSC": f"\x9d52;c;{MARK}\x9c",
    "bidi override": f"\u202e{MARK}\u202c",
    "isolate": f"\u2066{MARK}\u2069",
    "zero width": f"e\u200bvi\u200dl {MARK}\ufeff\u2060",
    "tags": MARK + "".join(chr(0xE0000 + ord(letter)) for letter in MARK),
    "lines": f"{MARK}\nERROR: not ours\r\nWARNING {MARK}",
    "Unicode's lines": f"{MARK}\u2028{MARK}\u2029{MARK}\x85{MARK}\x0b\x0c",
    "carriage return": f"{MARK}\rOK: all is well",
    "backspaces": f"{MARK}\b\b\b\bgood",
    "NUL": f"{MARK}\x00{MARK}",
    "half a pair": f"{MARK}\ud800{MARK}\udfff",
    "private use": f"{MARK}\ue000\U0010ffff",
    "markup": f"[bold red]{MARK}[/] [link=http://x]{MARK}[/link] :fire:",
    "quotes": f'{MARK}"}} 1\nup{{x="{MARK}\\',
    "formats": f"%s %n {{0.__class__}} %(x)s {MARK}",
    "long": MARK * 250_000,
}
LONGEST_LABEL = 256
"""Length of a model's name. Names of pools and providers have at most 64, hosts 253."""


def printable(text: str) -> bool:
    """Return whether a line has no control, format or separator characters."""
    return text.isprintable()


def assert_printable(text: str, what: str) -> None:
    """Assert that lines are printable and short, and that no hostile string has added a line."""
    for line in text.split("\n"):
        if not printable(line):
            found = sorted({hex(ord(c)) for c in line if not printable(c)})
            raise AssertionError(f"{what} has {found}: {line[:200]!r}")
        assert len(line) < 2100, f"{what} has a line of {len(line)} characters: {line[:100]!r}"
    assert "\nERROR: not ours" not in text, what
    assert "\nWARNING evil" not in text, what


def assert_all_printable(places: Places) -> None:
    """Assert this for all output: labels, lines and JSON."""
    for key, value in _attributes(places):
        assert printable(value), f"{key} is {value[:100]!r}"
        assert len(value) <= LONGEST_LABEL, f"{key} has {len(value)} characters"
    assert list(text_string_to_metric_families(places.telemetry.exposition()))
    for name in ("log", "snapshot as text", "findings as text", "report as text"):
        assert_printable(places.texts[name], name)
    for record in places.capture.records:
        message = record.getMessage()
        lines = message.split("\n")
        # After a leak, the stack follows with a frame on each line.
        assert all(line.startswith("  ") for line in lines[1:]), message[:300]
    for name in ("snapshot as JSON", "findings as JSON", "report as JSON"):
        for text in places.texts[name].split("\n"):
            assert not text or json.loads(text) is not None


def _attributes(places: Places) -> Any:
    collected = places.telemetry.collect()
    assert collected
    for point in (point for points in collected.values() for point in points):
        for key, value in point.attributes.items():
            yield key, str(value)
    for span in places.telemetry.spans():
        yield "a span's name", span.name
        for key, value in (span.attributes or {}).items():
            yield key, str(value)

"""Converts spans of the Collector's file to the form in which programs record theirs."""

from collections.abc import Iterable, Mapping
from typing import Any

_KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_STATUS = ("UNSET", "OK", "ERROR")


def arrived(span: Mapping[str, Any]) -> dict[str, Any]:
    """A span of OTLP JSON in the form in which programs record theirs."""
    return {
        "name": span["name"],
        "kind": _KINDS[span["kind"]],
        "trace": span["traceId"],
        "span": span["spanId"],
        "parent": span.get("parentSpanId", ""),
        "start": int(span["startTimeUnixNano"]),
        "end": int(span["endTimeUnixNano"]),
        "attributes": attributes(span),
        "links": [[link["traceId"], link["spanId"]] for link in span.get("links", ())],
        "status": _STATUS[span.get("status", {}).get("code", 0)],
        "scope": [span["scope"]["name"], span["scope"].get("version", "")],
    }


def attributes(holder: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of a span or a resource in OTLP JSON."""
    return {entry["key"]: _value(entry["value"]) for entry in holder.get("attributes", ())}


def by_id(spans: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Spans by their id; raises AssertionError for a duplicate."""
    found: dict[str, dict[str, Any]] = {}
    for span in spans:
        assert span["span"] not in found, f"twice: {span}"
        found[span["span"]] = span
    return found


def _value(value: Mapping[str, Any]) -> Any:
    ((kind, plain),) = value.items()
    # JSON has no 64-bit integers, so OTLP writes them as strings.
    return int(plain) if kind == "intValue" else plain

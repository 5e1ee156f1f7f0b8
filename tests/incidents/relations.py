"""Changes of a recorded snapshot after which the same cause has to be found.

Each changes the JSON of a snapshot in place, or returns another one.
"""

import dataclasses
import json
import re
import zlib
from array import array
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any, Final, get_args, get_type_hints

from opentelemetry.instrumentation.gluellm.snapshots.snapshot import Snapshot
from unit.gluellm_diagnosis.building import a_pool, a_snapshot, the_totals

_DAY = 86_400.0
_CALL_SITE = re.compile(r"(/[^\"]*):(\d+) in ([^\"]*)")
_OTHERS = {"openai": "moonshot", "anthropic": "azureanthropic"}
"""Other providers of the same SDK."""


def other_names(content: Any) -> Any:
    """Rename pools, hosts, files and functions."""

    def site(match: re.Match[str]) -> str:
        number = zlib.crc32(f"{match[1]} {match[3]}".encode())
        return f"/opt/service/module_{number}.py:{match[2]} in step_{number}"

    for one in [*content["pools"], *content["totals"]]:
        one["name"] = f"renamed-{one['name']}"
    for executor in content["process"]["executors"]:
        executor["pools"] = [f"renamed-{label}" for label in executor["pools"]]
    for numbers in _numbers(content):
        for subject, _ in numbers:
            subject[0] = subject[0] if subject[0] == "calls" else f"renamed-{subject[0]}"
    text = json.dumps(content).replace("127.0.0.1", "192.0.2.7").replace("localhost", "api.test")
    return json.loads(_CALL_SITE.sub(site, text))


def other_provider(content: Any) -> None:
    """Rename providers within their family."""
    process = content["process"]
    requests = [request for pool in content["pools"] for request in pool["requests"]]
    origins = [origin for totals in content["totals"] for origin in totals["origins"]]
    for one in [*content["pools"], *content["totals"], *process["calls"], *requests, *origins]:
        one["provider"] = _OTHERS.get(one["provider"], one["provider"])
    for numbers in _numbers(content):
        for subject, _ in numbers:
            subject[2] = _OTHERS.get(subject[2], subject[2])


def healthy_pool_beside(content: Any) -> None:
    """Add a pool that is well, with a few requests in each minute."""
    name, counts = "healthy", 10
    names = {"name": name, "provider": "cohere"}
    well = a_snapshot(the_totals(counts, **names), a_pool(**names)).to_dict()
    for numbers in _numbers(content):
        numbers += well["account"]["total"]
    content["pools"] += well["pools"]
    content["totals"] += well["totals"]


def another_day(content: Any) -> None:
    """Shift the clock by a day."""
    content["taken_at"] += _DAY


def older_process(content: Any) -> None:
    """Let the process be a day older, in which it had no request."""
    for one in [content, *content["account"]["rows"]]:
        for name in {"uptime", "since", "until"} & one.keys():
            one[name] += _DAY


def other_order(content: Any) -> None:
    """Reverse pools, totals, origins, calls and mappings; no series of times."""
    for one in (content["pools"], content["totals"], content["process"]["calls"]):
        one.reverse()
    for totals in content["totals"]:
        totals["origins"].reverse()
        for origin in totals["origins"]:
            origin["outcomes"].reverse()
    for numbers in _numbers(content):
        numbers.reverse()
        for _, items in numbers:
            items.reverse()
    for pool in content["pools"]:
        pool["requests"].reverse()
        pool["connections"].reverse()
        for request in pool["requests"]:
            if request["connection"] is not None:
                request["connection"] = len(pool["connections"]) - 1 - request["connection"]


def twice_as_much(content: Any) -> None:
    """Double counts, limits, connections and requests in flight."""
    process = content["process"]
    for numbers in _numbers(content):
        for _, items in numbers:
            for item in items:
                item[1] *= 2
    _double(process, "open_descriptors", "descriptor_limit", "calls_per_minute")
    for executor in process["executors"]:
        _double(executor, "threads", "waiting", "requests")
    for calls in process["calls"]:
        _double(calls, "now", "stage_seconds", "outcomes", "errors", "ages", "silent", "limited")
        _double(calls, "retries", "attempts_repeated", "pauses", "pauses_requested", "turns")
    for totals in content["totals"]:
        _double(totals, "connections_opened", "connections_closed", "requeues", "peak_active")
        _double(totals, "peak_queued", "leaks", "anomalies")
        for answer in [*totals["answers"], *totals["earlier_answers"]]:
            answer[5] *= 2
        for origin in totals["origins"]:
            _double(origin, "requests_entered", "phase_seconds", "requests_now", "timeouts")
            _double(origin, "reuse_failures", "set_up_seconds", "requests_lost_peer")
            _double(origin, "requests_on_new_connection", "requests_resent")
            for outcome in origin["outcomes"]:
                _double(outcome, "count", "sent", "seconds", "held_seconds", "provider_seconds")
    for pool in content["pools"]:
        _double(pool, "requests_entered", "max_connections", "max_idle_connections", "threads")
        _double(pool, "max_connections_per_origin")
        number = len(pool["connections"])
        pool["connections"] += pool["connections"]
        again = [dict(request) for request in pool["requests"]]
        for request in again:
            _ = request["connection"] is None or request.update(
                connection=request["connection"] + number
            )
        pool["requests"] += again
        times = array("i", b64decode(pool["leases"]))
        triples = (times[i : i + 3] for i in range(0, len(times), 3))
        pool["leases"] = b64encode(b"".join(2 * triple.tobytes() for triple in triples)).decode()


def unknown_fields(content: Any) -> None:
    """Add a field to each part, as a newer version has."""
    _add_unknown(Snapshot, content)


RELATIONS: Final[dict[str, Callable[[Any], Any]]] = {
    relation.__name__: relation
    for relation in (
        other_names,
        other_provider,
        healthy_pool_beside,
        another_day,
        older_process,
        other_order,
        twice_as_much,
        unknown_fields,
    )
}


def _numbers(content: Any) -> list[Any]:
    account = content["account"]
    return [account["total"], *(row["numbers"] for row in account["rows"])]


def _double(part: Any, *names: str) -> None:
    for name in names:
        value = part.get(name)  # older recordings lack newer fields
        if isinstance(value, dict):
            part[name] = {key: 2 * number for key, number in value.items()}
        elif isinstance(value, list):
            part[name] = [[key, 2 * number] for key, number in value]
        elif value is not None:
            part[name] = 2 * value


def _add_unknown(kind: Any, content: Any) -> None:
    if dataclasses.is_dataclass(kind) and isinstance(content, dict):
        for name, hint in get_type_hints(kind).items():
            if name in content:
                _add_unknown(hint, content[name])
        content["of a newer version"] = [{"value": None}]
    elif isinstance(content, list):
        for one in content:
            for hint in get_args(kind)[:1]:
                _add_unknown(hint, one)
        if hasattr(kind, "_fields"):
            missing = (kind._field_defaults[name] for name in kind._fields[len(content) :])
            content += [*missing, "of a newer version"]

"""LLM calls: how they end, how long they take, and those that are silent."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from opentelemetry.instrumentation.gluellm.telemetry import semconv

from ..case import Case, Firing, Series, series
from .waiting import FIRES, NOTHING

_OUTCOMES: Final = ("succeeded", "failed", "cancelled", "abandoned")
FAILS: Final = (Firing("failed"),)
CANCELS: Final = (Firing("cancelled"),)


def ended(*, instance: str = "api-1", source: str = "any_llm", **given: str) -> list[Series]:
    """Calls that ended, by outcome, with further labels."""
    labels = {name: value for name, value in given.items() if name not in _OUTCOMES}
    owns = {outcome: {semconv.CALL_OUTCOME: outcome} for outcome in _OUTCOMES if outcome in given}
    return [
        series(
            semconv.CALLS,
            given[outcome],
            {**own, semconv.CALL_SOURCE: source},
            instance=instance,
            **labels,
        )
        for outcome, own in owns.items()
    ]


def in_flight(values: str, stage: str = "requesting", instance: str = "api-1") -> Series:
    """Calls in a stage now."""
    return series(semconv.CALL_CURRENT, values, {semconv.CALL_STAGE: stage}, instance=instance)


def _took(values: str, stage: str = "requesting", instance: str = "api-1", **labels: str) -> Series:
    """Time that calls spent in a stage."""
    own = {semconv.CALL_STAGE: stage}
    return series(semconv.CALL_TIME, values, own, instance=instance, **labels)


def _calls(
    done: str, took: str, flying: str = "", instance: str = "api-1", **labels: str
) -> list[Series]:
    """Calls that succeeded, the time that they took, and those in flight."""
    return [
        *ended(succeeded=done, instance=instance, **labels),
        _took(took, instance=instance, **labels),
        *([in_flight(flying, instance=instance)] if flying else ()),
    ]


def _silent(values: str, instance: str = "api-1") -> Series:
    return series(semconv.CALL_SILENT, values, instance=instance)


def _waits(values: str) -> Series:
    """How long an application has been waiting for the next item of a stream."""
    return series(semconv.CALL_SILENCE, values)


def _one_after_another(seconds: int, callers: int, minutes: int) -> list[Series]:
    """Callers that begin at once, and call again as soon as they have their answer."""
    done = " ".join(str(callers * (60 * minute // seconds)) for minute in range(minutes + 1))
    found = _calls(done, f"0+{60 * callers}x{minutes}", f"{callers}x{minutes}")
    return [*found, _silent(f"0x{minutes}")]


def _workers(**outcomes: str) -> list[Series]:
    """One instance per worker, each with few calls."""
    return [one for number in range(8) for one in ended(instance=f"api-{number}", **outcomes)]


def _runs() -> list[Series]:
    """Processes that start each under a name of its own, fail five calls, export, and crash."""
    return [
        one
        for run in range(8)
        for one in ended(instance=f"run-{run}", failed=f"_x{2 * run} 5 _x60")
    ]


def _crashing(first: int, runs: int, seconds: int) -> list[Series]:
    """Processes that each export 12 calls of so many seconds, and crash in the same minute."""
    return [
        one
        for minute in range(first, first + 2 * runs, 2)
        for one in _calls(
            f"_x{minute} 12 _x40",
            f"_x{minute} {12 * seconds} _x40",
            f"_x{minute} 2 _x40",
            f"run-{minute}",
        )
    ]


def _healthy(alert: str) -> Sequence[Case]:
    return [
        Case(
            alert,
            f"{callers} unstreamed calls of {seconds} s, one after another, are a new service",
            _one_after_another(seconds, callers, 150),
            {f"{minute}m": NOTHING for minute in (*range(2, 32, 2), 60, 90, 120, 150)},
        )
        for seconds in (90, 400)
        for callers in (1, 20)
    ]


_fail, _slow, _quiet = (
    partial(Case, f"GlueLLM{name}") for name in ("CallsFail", "CallsSlow", "CallsSilent")
)
_LONG: Final = _one_after_another(400, 20, 30)[0]["values"]
CASES: Final = (
    _fail(
        "6 of 66 calls a minute fail, for hours",
        ended(succeeded="0+60x180", failed="0x5 0+6x175"),
        {"5m": NOTHING, "10m": FAILS, "60m": FAILS, "180m": FAILS},
    ),
    _fail(
        "the first export of a new service has 200 failed calls and none that succeeded",
        ended(succeeded="_ 0x20", failed="_ 200x20"),
        {"1m45s": NOTHING, "2m15s": FAILS, "14m": FAILS, "17m30s": NOTHING},
    ),
    _fail(
        "a call a minute, and all fail from minute 30 on",
        ended(succeeded="0+1x30 30x30", failed="0x30 1+1x29"),
        {"30m": NOTHING, "37m": NOTHING, "45m": FAILS, "60m": FAILS},
    ),
    _fail(
        "a call a minute, and every third fails: too few to tell",
        ended(succeeded="0+2x20", failed="0+1x20"),
        {"10m": NOTHING, "20m": NOTHING},
    ),
    _fail(
        "20 unstreamed calls of 400 s are a new service, and two fail at once",
        ended(succeeded=_LONG, failed="0 2x29"),
        {f"{minute}m": NOTHING for minute in (3, 6, 9, 14, 20, 30)},
    ),
    _fail(
        "one instance per worker, each of which fails two calls",
        _workers(succeeded="0+1x30", failed="0x10 1 2x20"),
        {"11m": NOTHING, "13m15s": FAILS},
    ),
    _fail(
        "one instance per worker, and all are healthy",
        _workers(succeeded="0+1x30", failed="0x30"),
        {"10m": NOTHING, "30m": NOTHING},
    ),
    _fail(
        "a crash loop: each process fails its five calls, exports once and is gone",
        _runs(),
        {"30s": NOTHING, "4m": FAILS, "10m": FAILS, "16m": FAILS, "31m": NOTHING},
    ),
    _fail(
        "a crash loop under one name, whose counters begin anew each time",
        ended(succeeded="0x30", failed="0 4 9 0 5 8 0 4 9 0 5 8 0 4 9"),
        {"5m": FAILS, "12m": FAILS},
    ),
    _fail(
        "calls that are cancelled or abandoned are no failures",
        ended(succeeded="0+60x20", failed="0+1x20", cancelled="0+30x20", abandoned="0+30x20"),
        {"10m": NOTHING, "20m": NOTHING},
    ),
    _fail(
        "6 of 66 fail, and as many as these are cancelled: they hide nothing",
        ended(succeeded="0+60x20", failed="0+6x20", cancelled="0+66x20"),
        {"10m": FAILS + CANCELS, "20m": FAILS + CANCELS},
    ),
    _fail(
        "a fifth of the attempts is answered with 429, and their application repeats them",
        ended(succeeded="0+80x20", failed="0+20x20", source="http"),
        {"10m": NOTHING, "20m": NOTHING},
    ),
    _fail(
        "over half of the attempts fail, and many calls succeed",
        [*ended(succeeded="0+4x20", failed="0+6x20", source="http"), *ended(succeeded="0+60x20")],
        {"3m": FAILS, "20m": FAILS},
    ),
    _fail(
        "attempts that succeed do not hide failing calls of the same provider",
        [*ended(succeeded="0+900x20", source="http"), *ended(succeeded="0+60x20", failed="0+6x20")],
        {"10m": FAILS, "20m": FAILS},
    ),
    _fail(
        "3 of 100 fail: retries cover most of a provider's errors",
        ended(succeeded="0+97x20", failed="0+3x20"),
        {"10m": NOTHING, "20m": NOTHING},
    ),
    _fail(
        "nothing is stored for 20 minutes, and then the counters are as they were",
        ended(succeeded="900+60x30 _x20 3900+60x20", failed="500x30 _x20 500x20"),
        {"51m15s": NOTHING, "55m": NOTHING, "66m": NOTHING},
    ),
    _fail(
        "a second instance of a quiet service begins, and its first calls fail",
        [
            *ended(succeeded="5x50", failed="0x50"),
            *ended(succeeded="_x31 0x19", failed="_x31 4x19", instance="api-2"),
        ],
        {"31m": NOTHING, "33m": FAILS},
    ),
    _fail(
        "half of the calls are cancelled, for hours",
        ended(succeeded="0+30x120", cancelled="0x5 0+30x115"),
        {"5m": NOTHING, "10m": CANCELS, "120m": CANCELS},
    ),
    _fail(
        "the first export of a new service has 200 cancelled calls",
        ended(succeeded="_ 0x20", cancelled="_ 200x20"),
        {"1m45s": NOTHING, "2m15s": CANCELS},
    ),
    _fail(
        "a call a minute, and all are cancelled from minute 30 on",
        ended(succeeded="0+1x30 30x30", cancelled="0x30 1+1x29"),
        {"30m": NOTHING, "45m": CANCELS},
    ),
    _fail(
        "a call a minute, and every third is cancelled: too few to tell",
        ended(succeeded="0+2x20", cancelled="0+1x20"),
        {"10m": NOTHING, "20m": NOTHING},
    ),
    _fail(
        "one instance per worker, each of which has three cancelled calls",
        _workers(succeeded="0+1x30", cancelled="0x10 1 3x20"),
        {"11m": NOTHING, "13m15s": CANCELS},
    ),
    _slow(
        "calls take 10 s instead of 1 s, since they back off",
        [
            *ended(succeeded="0+60x75 4500+6x45"),
            _took("0+60x75 4500x45"),
            _took("0x75 0+60x45", "backoff"),
            in_flight("1x120"),
        ],
        {"70m": NOTHING, "75m": NOTHING, "87m": FIRES, "95m": FIRES},
    ),
    _slow(
        "calls of 10 s begin to hang, and none ends any more",
        _calls("0+6x70 420x40", "0+60x110", "1x70 1+6x39"),
        {"70m": NOTHING, "90m": NOTHING},
    ),
    _slow(
        "calls of 10 s begin to hang, six more in each minute",
        [
            *ended(succeeded="0+6x70 420x40"),
            # Each minute, 60 s of those in flight, and half of them for those that began in it.
            _took(
                "0+60x70 "
                + " ".join(str(4200 + 360 * n * (n - 1) // 2 + 180 * n) for n in range(1, 41))
            ),
            in_flight("1x70 6+6x39"),
        ],
        {"70m": NOTHING, "82m": FIRES, "110m": FIRES},
    ),
    _slow(
        "the first calls of a new service hang, and for hours",
        _calls("0x180", "0+600x180", "10x180"),
        {"7m": NOTHING, "12m": FIRES, "60m": FIRES, "180m": FIRES},
    ),
    _slow(
        "calls of a quarter of an hour, one after another and for hours",
        _one_after_another(900, 5, 180),
        {"7m": NOTHING, "12m": FIRES, "55m": FIRES, "100m": FIRES, "175m": FIRES},
    ),
    _slow(
        "a call a minute takes 60 s instead of 10 s",
        _calls("0+1x120", "0+10x75 750+60x45", "0x75 1x45"),
        {"75m": NOTHING, "87m": FIRES},
    ),
    _slow(
        "three times almost nothing: calls of 0.1 s take 0.5 s",
        _calls("0+10x120", "0+1x75 75+5x45", "0x120"),
        {"80m": NOTHING, "87m": NOTHING, "95m": NOTHING},
    ),
    _slow(
        "one long report among short calls of a quiet service",
        _calls("0+1x60 60x20 61x40", "0+2x60 120+0x10 180 240x49", "0x70 1 0x49"),
        {"70m": NOTHING, "75m": NOTHING, "80m": NOTHING},
    ),
    _slow(
        "a second instance begins, and its first export has 2 000 calls as short as the others",
        [
            *_calls("0+60x100", "0+600x100", "10x100"),
            *_calls("_x80 2000+60x19", "_x80 20000+600x19", "_x80 10x19", "api-2"),
        ],
        {"79m": NOTHING, "82m": NOTHING, "85m": NOTHING, "95m": NOTHING},
    ),
    _slow(
        "a new instance, and 80 minutes later a new version, first export 200 calls of 100 s",
        [
            *_calls("0+6x120", "0+60x120", "1x120"),
            *_calls("_x20 200x20 _x80", "_x20 20000x20 _x80", instance="api-2"),
            *_calls("_x100 200x20", "_x100 20000x20", service_version="2"),
        ],
        {"19m": NOTHING, "23m": FIRES, "99m": NOTHING, "103m": FIRES},
    ),
    _slow(
        "series get one more label, first while calls take 10 s, then while they take 60 s",
        [
            *_calls("900+6x60 _x60", "9000+60x60 _x60", "1x120"),
            *_calls(
                "_x61 1266+6x23 _x36", "_x61 12660+60x8 13500+360x14 _x36", k8s_pod_name="api-1"
            ),
            *_calls("_x85 1410+6x35", "_x85 18900+360x35", k8s_pod_name="api-1", k8s_node_name="a"),
        ],
        {"63m": NOTHING, "66m": NOTHING, "84m": FIRES, "87m": FIRES},
    ),
    _slow(
        "one instance per worker, each with a call of 20 s instead of 2 s every five minutes",
        [
            one
            for number in range(8)
            for one in _calls("0+0.2x100", "0+0.4x75 34+4x24", "0x100", f"api-{number}")
        ],
        {"75m": NOTHING, "87m": FIRES},
    ),
    _slow(
        "a crash loop, in which calls first take 10 s, as before, and then 60 s",
        [
            *_calls("0+6x60 _x40", "0+60x60 _x40", "1x60 _x40"),
            *_crashing(61, 8, 10),
            *_crashing(77, 8, 60),
        ],
        {"64m": NOTHING, "70m": NOTHING, "76m": NOTHING, "84m": FIRES, "90m": FIRES},
    ),
    _slow(
        "a process whose first calls hang is killed, and its last state counts for 3 minutes",
        _calls("0x30 _x20", "0+600x30 _x20", "10x30 _x20"),
        {"30m": FIRES, "33m": NOTHING, "34m": NOTHING},
    ),
    _slow(
        "traffic stops, and four calls of ten minutes are left",
        _calls("0+60x75 4500x9 4504x35", "0+840x75 63240+240x8 65160x35", "14x75 4x8 0x36"),
        {"75m": NOTHING, "82m": NOTHING, "84m": NOTHING, "86m": NOTHING, "95m": NOTHING},
    ),
    _slow(
        "a night with one stream that nobody closes",
        _calls("0+60x60 3600x120", "0+120x60 7320+60x119", "1x180"),
        {"60m": NOTHING, "80m": NOTHING, "120m": NOTHING, "180m": NOTHING},
    ),
    _slow(
        "nothing is stored for 20 minutes, and then all is as it was",
        _calls("900+60x90 _x20 6300+60x40", "9000+60x90 _x20 14400+60x40", "1x90 _x20 1x40"),
        {"90m": NOTHING, "113m": NOTHING, "120m": NOTHING, "150m": NOTHING},
    ),
    *_healthy("GlueLLMCallsSlow"),
    _quiet(
        "4 of 10 calls in flight are silent, for hours",
        [_silent("0x10 4x170"), in_flight("10x180")],
        {"10m": NOTHING, "13m30s": FIRES, "180m": FIRES},
    ),
    _quiet(
        "the first export of a new service has 200 silent calls",
        [_silent("_ 200x20"), in_flight("_ 200x20")],
        {"2m30s": NOTHING, "3m30s": FIRES},
    ),
    _quiet(
        "a call a minute, and all hang from minute 10 on",
        [_silent("0x11 1+1x20"), in_flight("1x10 2+1x21")],
        {"12m": NOTHING, "16m": FIRES, "30m": FIRES},
    ),
    _quiet(
        "one instance per worker, each with one call, which is silent",
        [
            *(_silent("0x5 1x20", instance=f"api-{number}") for number in range(8)),
            *(in_flight("1x25", instance=f"api-{number}") for number in range(8)),
        ],
        {"5m": NOTHING, "8m30s": FIRES},
    ),
    _quiet(
        "one call of two is silent, and is not streamed",
        [_silent("1x20"), in_flight("2x20"), _waits("5x20")],
        {"10m": NOTHING, "20m": NOTHING},
    ),
    _quiet(
        "one call after another: after many of 90 s, each of 400 s is silent before it ends",
        [_silent("0 0 0 0 0 1 1 " * 20), in_flight("1x140"), *ended(succeeded="0x140")],
        {f"{minute}m": NOTHING for minute in (7, 8, 35, 70, 139)},
    ),
    _quiet(
        "a stalled stream among four calls: one call hangs, until its client times out",
        [_silent("0 1x30"), _waits("0+60x30"), in_flight("4x30")],
        {"5m": NOTHING, "10m": NOTHING, "13m30s": FIRES, "30m": FIRES},
    ),
    _quiet(
        "the only call of a service pauses for five minutes, again and again",
        [_silent("0 1 1 1 1 0 " * 10), _waits("0 60 120 180 240 300 " * 10), in_flight("1x60")],
        {"5m": NOTHING, "30m": NOTHING, "59m": NOTHING},
    ),
    _quiet(
        "4 of 100 are silent: each of them thinks for long",
        [_silent("4x20"), in_flight("60x20"), in_flight("40x20", "limited")],
        {"10m": NOTHING, "20m": NOTHING},
    ),
    _quiet(
        "a process is killed while its calls are silent, and its last state rings no longer",
        [_silent("0 8 8 _x30"), in_flight("8 8 8 _x30")],
        {"4m": FIRES, "5m": NOTHING, "15m": NOTHING},
    ),
    _quiet(
        "a crash loop: the calls of each process are silent when it crashes",
        [
            *(_silent(f"_x{3 * run} 0 8 8 _x30", f"run-{run}") for run in range(8)),
            *(in_flight(f"_x{3 * run} 8 8 8 _x30", instance=f"run-{run}") for run in range(8)),
        ],
        {"2m": NOTHING, "6m": FIRES, "20m": FIRES, "32m": NOTHING},
    ),
    *_healthy("GlueLLMCallsSilent"),
)

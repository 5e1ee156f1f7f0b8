"""LLM calls: how they end, how long they take, and those that are silent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from opentelemetry.instrumentation.gluellm.telemetry import semconv

from ..case import Case, Firing, Series, series
from .waiting import FIRES, NOTHING

_FAIL: Final = "GlueLLMCallsFail"
_SLOW: Final = "GlueLLMCallsSlow"
_SILENT: Final = "GlueLLMCallsSilent"
FAILS: Final = (Firing("failed"),)
CANCELS: Final = (Firing("cancelled"),)


def ended(outcome: str, values: str, instance: str = "api-1", **labels: str) -> Series:
    """Calls that ended so."""
    own = {semconv.CALL_OUTCOME: outcome}
    return series(semconv.CALLS, values, own, instance=instance, **labels)


def _attempts(outcome: str, values: str) -> Series:
    """Requests that are calls of their own, since no hook sees their calls."""
    own = {semconv.CALL_OUTCOME: outcome, semconv.CALL_SOURCE: "http"}
    return series(semconv.CALLS, values, own)


def in_flight(values: str, stage: str = "requesting", instance: str = "api-1") -> Series:
    """Calls in a stage now."""
    return series(semconv.CALL_CURRENT, values, {semconv.CALL_STAGE: stage}, instance=instance)


def _took(values: str, stage: str = "requesting", instance: str = "api-1", **labels: str) -> Series:
    """Time that calls spent in a stage."""
    own = {semconv.CALL_STAGE: stage}
    return series(semconv.CALL_TIME, values, own, instance=instance, **labels)


def _silent(values: str, instance: str = "api-1") -> Series:
    return series(semconv.CALL_SILENT, values, instance=instance)


def _waits(values: str) -> Series:
    """How long an application has been waiting for the next item of a stream."""
    return series(semconv.CALL_SILENCE, values)


def _one_after_another(seconds: int, callers: int, minutes: int) -> list[Series]:
    """Callers that begin at once, and call again as soon as they have their answer."""
    done = " ".join(str(callers * (60 * minute // seconds)) for minute in range(minutes + 1))
    return [
        ended("succeeded", done),
        _took(f"0+{60 * callers}x{minutes}"),
        in_flight(f"{callers}x{minutes}"),
        _silent(f"0x{minutes}"),
    ]


def _workers(outcome: str, values: str, count: int = 8) -> list[Series]:
    """One instance per worker, each with few calls."""
    return [ended(outcome, values, f"api-{number}") for number in range(count)]


def _runs(outcome: str) -> list[Series]:
    """Processes that start each under a name of its own, end five calls so, export, and crash."""
    return [ended(outcome, f"_x{2 * run} 5 _x60", f"run-{run}") for run in range(8)]


def _two_of_a_new_service(alert: str, outcome: str) -> Sequence[Case]:
    return [
        Case(
            alert,
            f"20 unstreamed calls of {seconds} s are a new service, and two are {outcome} at once",
            [_one_after_another(seconds, 20, 30)[0], ended(outcome, "0 2x29")],
            {f"{minute}m": NOTHING for minute in (3, 6, 9, 14, 20, 30)},
        )
        for seconds in (90, 400)
    ]


def _crashing(first: int, runs: int, seconds: int) -> list[Series]:
    """Processes that each export 12 calls of so many seconds, and crash in the same minute."""
    return [
        one
        for minute in range(first, first + 2 * runs, 2)
        for one in (
            ended("succeeded", f"_x{minute} 12 _x40", f"run-{minute}"),
            _took(f"_x{minute} {12 * seconds} _x40", instance=f"run-{minute}"),
            in_flight(f"_x{minute} 2 _x40", instance=f"run-{minute}"),
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


_HANG: Final = [ended("succeeded", "0x180"), _took("0+600x180"), in_flight("10x180")]

CASES: Final = (
    Case(
        _FAIL,
        "6 of 66 calls a minute fail, for hours",
        [ended("succeeded", "0+60x180"), ended("failed", "0x5 0+6x175")],
        {"5m": NOTHING, "10m": FAILS, "60m": FAILS, "180m": FAILS},
    ),
    Case(
        _FAIL,
        "the first export of a new service has 200 failed calls and none that succeeded",
        [ended("succeeded", "_ 0x20"), ended("failed", "_ 200x20")],
        {"1m45s": NOTHING, "2m15s": FAILS, "14m": FAILS, "17m30s": NOTHING},
    ),
    Case(
        _FAIL,
        "the first export of a new service has 20 failed calls of 120",
        [ended("succeeded", "_ 100x20"), ended("failed", "_ 20x20")],
        {"1m45s": NOTHING, "2m15s": FAILS, "7m": NOTHING},
    ),
    Case(
        _FAIL,
        "a new service succeeds at first and fails from its second export on",
        [ended("succeeded", "50x20"), ended("failed", "0 100+60x19")],
        {"2m30s": FAILS},
    ),
    Case(
        _FAIL,
        "a call a minute, and all fail from minute 30 on",
        [ended("succeeded", "0+1x30 30x30"), ended("failed", "0x30 1+1x29")],
        {"30m": NOTHING, "37m": NOTHING, "45m": FAILS, "60m": FAILS},
    ),
    Case(
        _FAIL,
        "a call a minute, and every third fails: too few to tell",
        [ended("succeeded", "0+2x20"), ended("failed", "0+1x20")],
        {"10m": NOTHING, "20m": NOTHING},
    ),
    *_two_of_a_new_service(_FAIL, "failed"),
    Case(
        _FAIL,
        "one instance per worker, each of which fails two calls",
        [*_workers("succeeded", "0+1x30"), *_workers("failed", "0x10 1 2x20")],
        {"11m": NOTHING, "13m15s": FAILS},
    ),
    Case(
        _FAIL,
        "one instance per worker, and all are healthy",
        [*_workers("succeeded", "0+1x30"), *_workers("failed", "0x30")],
        {"10m": NOTHING, "30m": NOTHING},
    ),
    Case(
        _FAIL,
        "a crash loop: each process fails its five calls, exports once and is gone",
        _runs("failed"),
        {"30s": NOTHING, "4m": FAILS, "10m": FAILS, "16m": FAILS, "31m": NOTHING},
    ),
    Case(
        _FAIL,
        "a crash loop under one name, whose counters begin anew each time",
        [ended("succeeded", "0x30"), ended("failed", "0 4 9 0 5 8 0 4 9 0 5 8 0 4 9")],
        {"5m": FAILS, "12m": FAILS},
    ),
    Case(
        _FAIL,
        "calls that are cancelled or abandoned are no failures",
        [
            ended("succeeded", "0+60x20"),
            ended("failed", "0+1x20"),
            ended("cancelled", "0+30x20"),
            ended("abandoned", "0+30x20"),
        ],
        {"10m": NOTHING, "20m": NOTHING},
    ),
    Case(
        _FAIL,
        "6 of 66 fail, and as many as these are cancelled: they hide nothing",
        [ended("succeeded", "0+60x20"), ended("failed", "0+6x20"), ended("cancelled", "0+66x20")],
        {"10m": FAILS + CANCELS, "20m": FAILS + CANCELS},
    ),
    Case(
        _FAIL,
        "a fifth of the attempts is answered with 429, and their application repeats them",
        [_attempts("succeeded", "0+80x20"), _attempts("failed", "0+20x20")],
        {"10m": NOTHING, "20m": NOTHING},
    ),
    Case(
        _FAIL,
        "over half of the attempts fail",
        [_attempts("succeeded", "0+40x20"), _attempts("failed", "0+60x20")],
        {"3m": FAILS, "20m": FAILS},
    ),
    Case(
        _FAIL,
        "attempts that succeed do not hide failing calls of the same provider",
        [
            _attempts("succeeded", "0+900x20"),
            ended("succeeded", "0+60x20"),
            ended("failed", "0+6x20"),
        ],
        {"10m": FAILS, "20m": FAILS},
    ),
    Case(
        _FAIL,
        "3 of 100 fail",
        [ended("succeeded", "0+97x20"), ended("failed", "0+3x20")],
        {"10m": NOTHING, "20m": NOTHING},
    ),
    Case(
        _FAIL,
        "a failure of yesterday is stored again after 20 minutes without",
        [ended("succeeded", "900+60x30 _x20 3900+60x20"), ended("failed", "500x30 _x20 500x20")],
        {"51m15s": NOTHING, "55m": NOTHING, "65m": NOTHING},
    ),
    Case(
        _FAIL,
        "the Collector starts again, and does not know at first whose namespace they are in",
        [
            ended("succeeded", "900x30 _x2 900x20", k8s_namespace_name="prod"),
            ended("failed", "5000x30 _x2 5000x20", k8s_namespace_name="prod"),
            ended("succeeded", "_x31 900x1 _x20"),
            ended("failed", "_x31 5000x1 _x20"),
        ],
        {"32m45s": NOTHING, "34m": NOTHING, "36m": NOTHING},
    ),
    Case(
        _FAIL,
        "a second instance begins, and its first export has 30 failed calls of 130",
        [
            ended("succeeded", "0+60x50"),
            ended("failed", "0x50"),
            ended("succeeded", "_x31 100x19", "api-2"),
            ended("failed", "_x31 30x19", "api-2"),
        ],
        {"31m": NOTHING, "33m": FAILS},
    ),
    Case(
        _FAIL,
        "a second instance of a quiet service begins, and its first calls fail",
        [
            ended("succeeded", "5x50"),
            ended("failed", "0x50"),
            ended("succeeded", "_x31 0x19", "api-2"),
            ended("failed", "_x31 4x19", "api-2"),
        ],
        {"31m": NOTHING, "33m": FAILS},
    ),
    Case(
        _FAIL,
        "a new version of a quiet service starts under its name, and its first calls fail",
        [
            ended("failed", "0x30 _x20", service_version="1"),
            ended("failed", "_x31 4x19", service_version="2"),
        ],
        {"31m": NOTHING, "33m": FAILS},
    ),
    Case(
        _FAIL,
        "five failures of a quiet service are stored again after 20 minutes without",
        [ended("succeeded", "2x30 _x20 2x30"), ended("failed", "5x30 _x20 5x30")],
        {"52m": NOTHING, "55m": NOTHING, "65m": NOTHING},
    ),
    Case(
        _FAIL,
        "a new version starts under its instance's name, and fails from its first export on",
        [
            ended("succeeded", "900x30 _x20", service_version="1"),
            ended("failed", "0x30 _x20", service_version="1"),
            ended("succeeded", "_x31 100x19", service_version="2"),
            ended("failed", "_x31 30x19", service_version="2"),
        ],
        {"31m": NOTHING, "33m": FAILS},
    ),
    Case(
        _FAIL,
        "half of the calls are cancelled, for hours",
        [ended("succeeded", "0+30x120"), ended("cancelled", "0x5 0+30x115")],
        {"5m": NOTHING, "10m": CANCELS, "120m": CANCELS},
    ),
    Case(
        _FAIL,
        "the first export of a new service has 200 cancelled calls",
        [ended("succeeded", "_ 0x20"), ended("cancelled", "_ 200x20")],
        {"1m45s": NOTHING, "2m15s": CANCELS},
    ),
    Case(
        _FAIL,
        "a call a minute, and all are cancelled from minute 30 on",
        [ended("succeeded", "0+1x30 30x30"), ended("cancelled", "0x30 1+1x29")],
        {"30m": NOTHING, "45m": CANCELS},
    ),
    Case(
        _FAIL,
        "a fifth of the users leave, half of the calls fail, and streams are closed early",
        [
            ended("succeeded", "0+20x20"),
            ended("failed", "0+20x20"),
            ended("abandoned", "0+20x20"),
            ended("cancelled", "0+15x20"),
        ],
        {"10m": FAILS, "20m": FAILS},
    ),
    Case(
        _FAIL,
        "a call a minute, and every third is cancelled: too few to tell",
        [ended("succeeded", "0+2x20"), ended("cancelled", "0+1x20")],
        {"10m": NOTHING, "20m": NOTHING},
    ),
    *_two_of_a_new_service(_FAIL, "cancelled"),
    Case(
        _FAIL,
        "one instance per worker, each of which has three cancelled calls",
        [*_workers("succeeded", "0+1x30"), *_workers("cancelled", "0x10 1 3x20")],
        {"11m": NOTHING, "13m15s": CANCELS},
    ),
    Case(
        _FAIL,
        "a crash loop: the five calls of each process are cancelled, and it exports once",
        _runs("cancelled"),
        {"30s": NOTHING, "4m": CANCELS, "10m": CANCELS, "16m": CANCELS, "31m": NOTHING},
    ),
    Case(
        _SLOW,
        "calls take 10 s instead of 1 s, since they back off",
        [
            ended("succeeded", "0+60x75 4500+6x45"),
            _took("0+60x75 4500x45"),
            _took("0x75 0+60x45", "backoff"),
            in_flight("1x120"),
        ],
        {"70m": NOTHING, "75m": NOTHING, "87m": FIRES, "95m": FIRES},
    ),
    Case(
        _SLOW,
        "calls of 10 s begin to hang, and none ends any more",
        [ended("succeeded", "0+6x70 420x40"), _took("0+60x110"), in_flight("1x70 1+6x39")],
        {"70m": NOTHING, "90m": NOTHING},
    ),
    Case(
        _SLOW,
        "calls of 10 s begin to hang, six more in each minute",
        [
            ended("succeeded", "0+6x70 420x40"),
            # Each minute, 60 s of those in flight, and half of them for those that began in it.
            _took(
                "0+60x70 "
                + " ".join(str(4200 + 360 * n * (n - 1) // 2 + 180 * n) for n in range(1, 41))
            ),
            in_flight("1x70 6+6x39"),
        ],
        {"70m": NOTHING, "82m": FIRES, "110m": FIRES},
    ),
    Case(
        _SLOW,
        "the first calls of a new service hang, and for hours",
        _HANG,
        {"7m": NOTHING, "12m": FIRES, "60m": FIRES, "180m": FIRES},
    ),
    Case(
        _SLOW,
        "calls of a quarter of an hour, one after another and for hours",
        _one_after_another(900, 5, 180),
        {"7m": NOTHING, "12m": FIRES, "55m": FIRES, "100m": FIRES, "175m": FIRES},
    ),
    Case(
        _SLOW,
        "a call a minute takes 60 s instead of 10 s",
        [
            ended("succeeded", "0+1x120"),
            _took("0+10x75 750+60x45"),
            in_flight("0x75 1x45"),
        ],
        {"75m": NOTHING, "87m": FIRES},
    ),
    Case(
        _SLOW,
        "three times almost nothing: calls of 0.1 s take 0.5 s",
        [ended("succeeded", "0+10x120"), _took("0+1x75 75+5x45"), in_flight("0x120")],
        {"80m": NOTHING, "87m": NOTHING, "95m": NOTHING},
    ),
    Case(
        _SLOW,
        "one long report among short calls of a quiet service",
        [
            ended("succeeded", "0+1x60 60x20 61x40"),
            _took("0+2x60 120+0x10 180 240x49"),
            in_flight("0x70 1 0x49"),
        ],
        {"70m": NOTHING, "75m": NOTHING, "80m": NOTHING},
    ),
    Case(
        _SLOW,
        "a second instance begins, and its first export has 2 000 calls as short as the others",
        [
            ended("succeeded", "0+60x100"),
            _took("0+600x100"),
            in_flight("10x100"),
            ended("succeeded", "_x80 2000+60x19", "api-2"),
            _took("_x80 20000+600x19", instance="api-2"),
            in_flight("_x80 10x19", instance="api-2"),
        ],
        {"79m": NOTHING, "82m": NOTHING, "85m": NOTHING, "95m": NOTHING},
    ),
    Case(
        _SLOW,
        "a new version of an instance starts, and its first export has 2 000 calls as short",
        [
            ended("succeeded", "0+60x80 _x20", service_version="1"),
            _took("0+600x80 _x20", service_version="1"),
            in_flight("10x100"),
            ended("succeeded", "_x81 2000+60x18", service_version="2"),
            _took("_x81 20000+600x18", service_version="2"),
        ],
        {"79m": NOTHING, "83m": NOTHING, "85m": NOTHING, "95m": NOTHING},
    ),
    Case(
        _SLOW,
        "a new instance, and 80 minutes later a new version, first export 200 calls of 100 s",
        [
            ended("succeeded", "0+6x120"),
            _took("0+60x120"),
            in_flight("1x120"),
            ended("succeeded", "_x20 200x20 _x80", "api-2"),
            _took("_x20 20000x20 _x80", instance="api-2"),
            ended("succeeded", "_x100 200x20", service_version="2"),
            _took("_x100 20000x20", service_version="2"),
        ],
        {"19m": NOTHING, "23m": FIRES, "99m": NOTHING, "103m": FIRES},
    ),
    Case(
        _SLOW,
        "series get one more label, first while calls take 10 s, then while they take 60 s",
        [
            ended("succeeded", "900+6x60 _x60"),
            _took("9000+60x60 _x60"),
            in_flight("1x120"),
            ended("succeeded", "_x61 1266+6x23 _x36", k8s_pod_name="api-1"),
            _took("_x61 12660+60x8 13500+360x14 _x36", k8s_pod_name="api-1"),
            ended("succeeded", "_x85 1410+6x35", k8s_pod_name="api-1", k8s_node_name="a"),
            _took("_x85 18900+360x35", k8s_pod_name="api-1", k8s_node_name="a"),
        ],
        {"63m": NOTHING, "66m": NOTHING, "84m": FIRES, "87m": FIRES},
    ),
    Case(
        _SLOW,
        "one instance per worker, each with a call of 20 s instead of 2 s every five minutes",
        [
            one
            for number in range(8)
            for one in (
                ended("succeeded", "0+0.2x100", f"api-{number}"),
                _took("0+0.4x75 34+4x24", instance=f"api-{number}"),
                in_flight("0x100", instance=f"api-{number}"),
            )
        ],
        {"75m": NOTHING, "87m": FIRES},
    ),
    Case(
        _SLOW,
        "a crash loop, in which calls first take 10 s, as before, and then 60 s",
        [
            ended("succeeded", "0+6x60 _x40"),
            _took("0+60x60 _x40"),
            in_flight("1x60 _x40"),
            *_crashing(61, 8, 10),
            *_crashing(77, 8, 60),
        ],
        {"64m": NOTHING, "70m": NOTHING, "76m": NOTHING, "84m": FIRES, "90m": FIRES},
    ),
    Case(
        _SLOW,
        "a process whose first calls hang is killed, and its last state counts for 3 minutes",
        [ended("succeeded", "0x30 _x20"), _took("0+600x30 _x20"), in_flight("10x30 _x20")],
        {"30m": FIRES, "33m": NOTHING, "34m": NOTHING},
    ),
    Case(
        _SLOW,
        "traffic stops, and four calls of ten minutes are left",
        [
            ended("succeeded", "0+60x75 4500x9 4504x35"),
            _took("0+840x75 63240+240x8 65160x35"),
            in_flight("14x75 4x8 0x36"),
        ],
        {"75m": NOTHING, "82m": NOTHING, "84m": NOTHING, "86m": NOTHING, "95m": NOTHING},
    ),
    Case(
        _SLOW,
        "a night with one stream that nobody closes",
        [ended("succeeded", "0+60x60 3600x120"), _took("0+120x60 7320+60x119"), in_flight("1x180")],
        {"60m": NOTHING, "80m": NOTHING, "120m": NOTHING, "180m": NOTHING},
    ),
    Case(
        _SLOW,
        "nothing is stored for 20 minutes, and then all is as it was",
        [
            ended("succeeded", "900+60x90 _x20 6300+60x40"),
            _took("9000+60x90 _x20 14400+60x40"),
            in_flight("1x90 _x20 1x40"),
        ],
        {"90m": NOTHING, "113m": NOTHING, "120m": NOTHING, "150m": NOTHING},
    ),
    *_healthy(_SLOW),
    Case(
        _SILENT,
        "4 of 10 calls in flight are silent, for hours",
        [_silent("0x10 4x170"), in_flight("10x180")],
        {"10m": NOTHING, "13m30s": FIRES, "180m": FIRES},
    ),
    Case(
        _SILENT,
        "the first export of a new service has 200 silent calls",
        [_silent("_ 200x20"), in_flight("_ 200x20")],
        {"2m30s": NOTHING, "3m30s": FIRES},
    ),
    Case(
        _SILENT,
        "a call a minute, and all hang from minute 10 on",
        [_silent("0x11 1+1x20"), in_flight("1x10 2+1x21")],
        {"12m": NOTHING, "16m": FIRES, "30m": FIRES},
    ),
    Case(
        _SILENT,
        "one instance per worker, each with one call, which is silent",
        [
            *(_silent("0x5 1x20", instance=f"api-{number}") for number in range(8)),
            *(in_flight("1x25", instance=f"api-{number}") for number in range(8)),
        ],
        {"5m": NOTHING, "8m30s": FIRES},
    ),
    Case(
        _SILENT,
        "one call of two is silent, and is not streamed",
        [_silent("1x20"), in_flight("2x20"), _waits("5x20")],
        {"10m": NOTHING, "20m": NOTHING},
    ),
    Case(
        _SILENT,
        "one call after another: after many of 90 s, each of 400 s is silent before it ends",
        [_silent("0 0 0 0 0 1 1 " * 20), in_flight("1x140"), ended("succeeded", "0x140")],
        {f"{minute}m": NOTHING for minute in (7, 8, 35, 70, 139)},
    ),
    Case(
        _SILENT,
        "a stalled stream among four calls: one call hangs, until its client times out",
        [_silent("0 1x30"), _waits("0+60x30"), in_flight("4x30")],
        {"5m": NOTHING, "10m": NOTHING, "13m30s": FIRES, "30m": FIRES},
    ),
    Case(
        _SILENT,
        "the only call of a service pauses for five minutes, again and again",
        [_silent("0 1 1 1 1 0 " * 10), _waits("0 60 120 180 240 300 " * 10), in_flight("1x60")],
        {"5m": NOTHING, "30m": NOTHING, "59m": NOTHING},
    ),
    Case(
        _SILENT,
        "4 of 100 are silent: each of them thinks for long",
        [_silent("4x20"), in_flight("60x20"), in_flight("40x20", "limited")],
        {"10m": NOTHING, "20m": NOTHING},
    ),
    Case(
        _SILENT,
        "a process is killed while its calls are silent, and its last state rings no longer",
        [_silent("0 8 8 _x30"), in_flight("8 8 8 _x30")],
        {"4m": FIRES, "5m": NOTHING, "15m": NOTHING},
    ),
    Case(
        _SILENT,
        "a crash loop: the calls of each process are silent when it crashes",
        [
            *(_silent(f"_x{3 * run} 0 8 8 _x30", f"run-{run}") for run in range(8)),
            *(in_flight(f"_x{3 * run} 8 8 8 _x30", instance=f"run-{run}") for run in range(8)),
        ],
        {"2m": NOTHING, "6m": FIRES, "20m": FIRES, "32m": NOTHING},
    ),
    *_healthy(_SILENT),
)

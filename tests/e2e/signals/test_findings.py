"""How many instances find what, since when, and what is not seen."""

from pathlib import Path

from gluellm_dashboards.signals import process

from .asking import check, series

KIND = {"gluellm_finding_kind": "leak", "gluellm_finding_severity": "error"}
LEAK = '{gluellm_finding_kind="leak", gluellm_finding_severity="error"}'


def found(instance: str, values: str) -> dict[str, str]:
    labels = {"job": "api", "instance": instance, **KIND}
    return series("gluellm_finding_current", labels, values)


def test_a_finding_has_the_age_of_its_latest_begin(tmp_path: Path) -> None:
    """It was there before, ended, and began again at minute 31. Another instance is younger."""
    written = [found("a", "1x10 0x9 _x10 1x60"), found("b", "_x50 1x60")]
    check(
        tmp_path,
        written,
        (process.FINDINGS, "60m", {LEAK: 2}),
        (process.FINDINGS_FOR, "60m", {LEAK: 29 * 60}),
    )


def test_a_finding_of_more_than_six_hours_is_of_six_hours(tmp_path: Path) -> None:
    check(tmp_path, [found("a", "1x500")], (process.FINDINGS_FOR, "480m", {LEAK: 6 * 3600}))


def test_processes_that_lack_a_hook_or_no_longer_judge_themselves_are_blind(tmp_path: Path) -> None:
    """A third one judges itself, a fourth one is idle."""
    written = []
    for name, hooks, judged, requests in (
        ("a", "1x60", "0+2x60", "3x60"),
        ("b", "0x60", "0+2x30 60x30", "3x60"),
        ("c", "0x60", "0+2x60", "3x60"),
        ("d", "0x60", "0+2x30 60x30", "0x60"),
    ):
        labels = {"job": "api", "instance": name}
        written += [
            series("gluellm_instrumentation_hook_missing", labels, hooks),
            series("gluellm_finding_judged_total", labels, judged),
            series("gluellm_pool_request_current", labels, requests),
        ]
    check(tmp_path, written, (process.BLIND, "20m", {"{}": 1}), (process.BLIND, "55m", {"{}": 2}))
    check(tmp_path, written[6:9], (process.BLIND, "55m", {"{}": 0}))

"""Texts of alerts, as Prometheus fills them in: what was found, and the command for a process."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import yaml

from gluellm_dashboards.rules.case import Series, other, series
from gluellm_dashboards.rules.cases.calls import ended
from gluellm_dashboards.rules.cases.findings import found
from gluellm_dashboards.rules.cases.waiting import gave_up, oldest
from opentelemetry.instrumentation.gluellm.telemetry import semconv

from ..running import run
from .deciding import group_of_alerts


def host(instance: str, **labels: str) -> Series:
    """What the resource detector adds to ``target_info``."""
    return other("target_info", "1x300", instance=instance, **labels)


HOST = host("api-1", host_name="web-3", process_pid="4711")
ON_HOST = "`gluellm-pools doctor --instance api-1` on web-3 (PID 4711)"
ALONE = "`gluellm-pools doctor --instance api-1`"
LEAK = " Found by its processes: leak of openai (error)."
BUSY = [
    *oldest(queued="45+60x30"),
    series(semconv.REQUEST_CURRENT, "3x300", {semconv.REQUEST_PHASE: "queued"}),
]


def described(alert: str, written: Sequence[Series], at: str, folder: Path) -> list[str]:
    """Return the descriptions of an alert that fires, in promtool's output for a wrong guess."""
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": [group_of_alerts()]}))
    wrong = [{"eval_time": at, "alertname": alert, "exp_alerts": []}]
    test = {"interval": "1m", "input_series": [*map(dict, written)], "alert_rule_test": wrong}
    content = {"rule_files": ["rules.yaml"], "evaluation_interval": "30s", "tests": [test]}
    (folder / "tests.yaml").write_text(yaml.safe_dump(content))
    output = run("promtool", "test", "rules", folder / "tests.yaml")
    lines = (output.stdout + output.stderr).replace('\\"', '"').split('description="')[1:]
    return [line.partition('", summary="')[0] for line in lines]


TEXTS: Mapping[str, tuple[str, Sequence[Series], str]] = {
    "one of 200 instances has a finding": (
        "GlueLLMFindingError",
        [HOST, *(found(f"{1 - min(n, 1)}x20", instance=f"api-{n + 1}") for n in range(200))],
        f"on its host: {ON_HOST}.",
    ),
    "three instances are named, one of them with its pod": (
        "GlueLLMFindingWarning",
        [
            host("api-2", host_name="node", k8s_pod_name="api-2-x", process_pid="7"),
            *(found("1x20", severity="warning", instance=f"api-{n}") for n in (2, 3, 4)),
        ],
        (
            "on its host: `gluellm-pools doctor --instance api-2` on api-2-x (PID 7); "
            "`gluellm-pools doctor --instance api-3`; `gluellm-pools doctor --instance api-4`."
        ),
    ),
    "a wait names the instance, and what the processes found": (
        "GlueLLMRequestsStuck",
        [HOST, found("1x20"), *BUSY],
        (
            f"run {ON_HOST}. It names the callers that hold the connections, with the line of code."
            f"{LEAK}"
        ),
    ),
    "without a finding there is no such text": (
        "GlueLLMRequestsStuck",
        BUSY,
        f"run {ALONE}. It names the callers that hold the connections, with the line of code.",
    ),
    "of two instances, that with more pool timeouts is named": (
        "GlueLLMPoolTimeouts",
        [*gave_up("0+9x20", "0+9x20"), *gave_up("0+1x20", instance="api-2")],
        (
            f"run {ALONE}. It names the cause (a leak, a slow provider or a pool that is too "
            "small) and what to change. Enlarge the pool only if it is too small."
        ),
    ),
    "failed calls: the instance with the most of them": (
        "GlueLLMCallsFail",
        [HOST, *ended(failed="0+9x20"), *ended(failed="0+1x20", instance="api-2"), found("1x20")],
        f"{ON_HOST} reports the cause and the line of code.{LEAK}",
    ),
    "a process that judges itself no more": (
        "GlueLLMBlind",
        [HOST, *BUSY, series(semconv.FINDING_JUDGED, "5x300")],
        (
            f"run {ON_HOST}. If it does not answer either, look at its threads with py-spy dump "
            "--pid PID."
        ),
    ),
}


@pytest.mark.parametrize("what", TEXTS)
def test_a_description_ends_with_the_command_and_what_was_found(what: str, tmp_path: Path) -> None:
    alert, written, end = TEXTS[what]
    (text,) = described(alert, written, "15m", tmp_path)
    before, asked, commands = text.rpartition("on its host: ")
    # Equal values come in any order.
    ordered = "; ".join(sorted(commands.removesuffix(".").split("; "))) + "." if asked else commands
    assert f"{before}{asked}{ordered}".endswith(end), text

"""``make frameworks``: each framework in processes of its own, with and without instrumentation.

Exits 1 when a framework's results differ, a count is wrong, or a pool has another name or provider.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, NamedTuple

from studies.figures import Parser
from studies.talking import FailedError, ran

from . import instrumentations, llm_frameworks, sdks
from .harness import Case, Pool, measure, stay_on_loopback

CASES = {
    case.framework: case for case in (*llm_frameworks.CASES, *sdks.CASES, *instrumentations.CASES)
}
_VENVS = Path(__file__).parents[3] / ".venvs"
_TIMEOUT = 120.0
_COLUMNS = (
    *("framework", "version", "results same", "requests server / metrics"),
    *("pool names", "providers", "verdict"),
)
_ENVIRONMENT = dict(
    pair.split("=")
    for pair in (
        "ANONYMIZED_TELEMETRY=false AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any "
        "AWS_EC2_METADATA_DISABLED=true DO_NOT_TRACK=1 HF_HUB_DISABLE_TELEMETRY=1 "
        "LANGSMITH_TRACING=false LITELLM_LOCAL_MODEL_COST_MAP=true LITELLM_TELEMETRY=false "
        "LOGFIRE_SEND_TO_LOGFIRE=false OPENAI_AGENTS_DISABLE_TRACING=1 TRACELOOP_TELEMETRY=false"
    ).split()
)
"""Turns off the frameworks' own telemetry; AWS requires a key."""


class _Run(NamedTuple):
    """One process: what it reported, and the requests that the server received."""

    measured: dict[str, Any]
    received: int
    failure: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the frameworks that were asked for, and print the table."""
    parser = Parser("frameworks", __doc__)
    parser.add_argument("frameworks", nargs="*", metavar="framework", help=", ".join(CASES))
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        return _child(*options.child)
    unknown = sorted(set(options.frameworks) - CASES.keys())
    if unknown:
        parser.error(f"unknown framework {', '.join(unknown)}; known are {', '.join(CASES)}")
    rows, problems = [], []
    for name in options.frameworks or CASES:
        print(f"{name}: running", file=sys.stderr, flush=True)
        row, wrong = _judge(CASES[name])
        rows.append(row)
        problems += [f"{name}: {each}" for each in wrong]
    for line in (_COLUMNS, ["---"] * len(_COLUMNS), *rows):
        print(f"| {' | '.join(line)} |")
    for problem in problems:
        print(problem)
    return 1 if problems else 0


def _child(name: str, port: str, instrumented: str) -> int:
    stay_on_loopback()
    measured = measure(CASES[name], int(port), instrumented=instrumented == "on")
    print(json.dumps(measured), flush=True)
    return 0


def _version(case: Case) -> str | None:
    folders = (_VENVS / case.environment).glob("lib/python*/site-packages")
    found = distributions(
        name=case.package or case.framework, path=[str(folder) for folder in folders]
    )
    return next((distribution.version for distribution in found), None)


def _judge(case: Case) -> tuple[tuple[str, ...], list[str]]:
    """The row of a framework, and what is wrong with it."""
    version = _version(case)
    if version is None:
        return (case.framework, *("-" for _ in _COLUMNS[2:]), "NOT INSTALLED"), []
    off, on = (_run(case, instrumented=instrumented) for instrumented in (False, True))
    measured = on.measured
    pools = {(name, provider) for name, provider in measured.get("pools", ())}
    wrong = [
        f"failed {how} instrumentation:\n{run.failure}"
        for how, run in (("without", off), ("with", on))
        if run.failure
    ] or _faults(case, off, on, pools)
    row = (
        case.framework,
        version,
        "yes" if measured and off.measured.get("result") == measured["result"] else "NO",
        f"{on.received} / {measured.get('requests', '-')}",
        ", ".join(sorted({name for name, _ in pools})) or "-",
        ", ".join(sorted({provider for _, provider in pools if provider})) or "-",
        "WRONG" if wrong else "right",
    )
    return row, wrong


def _faults(case: Case, off: _Run, on: _Run, pools: set[Pool]) -> list[str]:
    measured = on.measured
    checks = (
        ("result", measured["result"], off.measured["result"]),
        ("requests received", on.received, off.received),
        ("requests reported", measured["requests"], on.received or "some"),
        ("pools", sorted(pools, key=str), case.pools),
        *((what, measured[what], 0) for what in ("in flight", "own errors", "dropped")),
    )
    return [
        f"{what} {found}, expected {wanted}" for what, found, wanted in checks if found != wanted
    ]


def _run(case: Case, *, instrumented: bool) -> _Run:
    python = _VENVS / case.environment / "bin" / "python"
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and not name.startswith("OTEL_")
    }
    with case.serve() as (port, received):
        command = [str(python), "-m", "studies.frameworks", "--child", case.framework]
        command += [str(port), "on" if instrumented else "off"]
        try:
            output = ran(
                *command, timeout=_TIMEOUT, env=environment | _ENVIRONMENT, stdin=subprocess.DEVNULL
            )
        except FailedError as failure:
            return _Run({}, received(), str(failure))
        return _Run(json.loads(output.splitlines()[-1]), received(), "")


if __name__ == "__main__":
    sys.exit(main())

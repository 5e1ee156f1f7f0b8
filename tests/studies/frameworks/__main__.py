"""``make frameworks``: each framework in processes of its own, with and without instrumentation.

Exits 1 when a framework's results differ, or what is reported differs from what a case expects or
the fake provider received. Otherwise it writes the rows to `MEASURED`, of which ``make docs`` makes
the page "Your framework".
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, NamedTuple

from studies.figures import Parser
from studies.talking import TalkingProcess

from . import advice, agents, instrumentations, llm_frameworks, retrying, sdks
from .harness import Case, Seen, run

_MODULES = (llm_frameworks, agents, sdks, retrying, advice, instrumentations)
CASES = {case.framework: case for module in _MODULES for case in module.CASES}
MEASURED = Path(__file__).with_name("measured.json")
_KEPT = ("calls", "requests", "outcomes", "stages", "models", *Seen.WHAT, "leak")
_VENVS = Path(__file__).parents[3] / ".venvs"
_TIMEOUT = 300.0
_ENVIRONMENT = dict(
    pair.split("=")
    for pair in (
        "ANONYMIZED_TELEMETRY=false AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any "
        "AWS_EC2_METADATA_DISABLED=true CREWAI_DISABLE_TELEMETRY=true CREWAI_TRACING_ENABLED=false "
        "DO_NOT_TRACK=1 HAYSTACK_TELEMETRY_ENABLED=false HF_HUB_DISABLE_TELEMETRY=1 "
        "LANGSMITH_TRACING=false LITELLM_LOCAL_MODEL_COST_MAP=true LITELLM_TELEMETRY=false "
        "LOGFIRE_SEND_TO_LOGFIRE=false NO_PROXY=* no_proxy=* OPENAI_AGENTS_DISABLE_TRACING=1 "
        "TRACELOOP_TELEMETRY=false"
    ).split()
)
"""Turns off the frameworks' own telemetry and proxies; AWS requires a key."""


class _Run(NamedTuple):
    """One process: what it reported, and the requests that the server received."""

    measured: dict[str, Any]
    received: int
    failure: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the frameworks that were asked for, and print what is wrong."""
    parser = Parser("frameworks", __doc__)
    parser.add_argument("frameworks", nargs="*", metavar="framework", help=", ".join(CASES))
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        name, port, instrumented = options.child
        run(CASES[name], int(port), instrumented=instrumented == "on")
        return 0
    unknown = sorted(set(options.frameworks) - CASES.keys())
    if unknown:
        parser.error(f"unknown framework {', '.join(unknown)}; known are {', '.join(CASES)}")
    rows: dict[str, Any] = {}
    broken = 0
    for name in options.frameworks or CASES:
        measured, wrong = _judge(CASES[name])
        rows[name] = measured
        broken += bool(wrong)
        print(f"{name:28} {'; '.join(wrong) or measured or 'NOT INSTALLED'}", flush=True)
    if not broken and all(rows.values()):
        rows = {**json.loads(MEASURED.read_text()), **rows}
        in_order = {name: rows[name] for name in CASES if name in rows}
        MEASURED.write_text(json.dumps(in_order, indent=1) + "\n")
    return int(broken > 0)


def _version(case: Case) -> str | None:
    folders = (_VENVS / case.environment).glob("lib/python*/site-packages")
    found = distributions(
        name=case.package or case.framework, path=[str(folder) for folder in folders]
    )
    return next((distribution.version for distribution in found), None)


def _judge(case: Case) -> tuple[dict[str, Any], list[str]]:
    """The row of a framework, which is empty if it is not installed, and what is wrong with it."""
    version = _version(case)
    if version is None:
        return {}, []
    off, on = (_run(case, instrumented=instrumented) for instrumented in (False, True))
    failed = [
        f"failed {how} instrumentation:\n{run.failure}"
        for how, run in (("without", off), ("with", on))
        if run.failure
    ]
    kept = {what: on.measured[what] for what in _KEPT if what in on.measured}
    return {"version": version, **kept}, failed or _faults(case, off, on)


def _faults(case: Case, off: _Run, on: _Run) -> list[str]:
    measured = on.measured
    calls = sum(measured["outcomes"].values())
    checks = (
        ("result", measured["result"], off.measured["result"]),
        ("requests received", on.received, off.received),
        ("requests reported", measured["requests"], off.received if case.observed else 0),
        ("calls of", measured["calls"], sorted(case.expected.split())),
        ("number of calls", calls, off.received - case.others if case.expected else 0),
        *((what, measured[what], [value]) for what, value in case.limits.items()),
        *((what, measured[what], 0) for what in ("in flight", "own errors", "dropped")),
        *((what, measured[what], []) for what in ("errors found", "pages")),
    )
    return [
        f"{what} {found}, expected {wanted}" for what, found, wanted in checks if found != wanted
    ]


def _run(case: Case, *, instrumented: bool) -> _Run:
    child: TalkingProcess | None = None

    def look() -> bool:
        if child is None or not instrumented:
            return False
        child.send_line("look")
        return bool(child.expect("looked")["held"])

    with case.serve(look) as (port, received), tempfile.TemporaryDirectory() as folder:
        how = "on" if instrumented else "off"
        child = TalkingProcess(
            ["studies.frameworks", "--child", case.framework, str(port), how],
            Path(folder) / "log",
            _ENVIRONMENT,
            python=_VENVS / case.environment / "bin" / "python",
        )
        try:
            child.process.wait(_TIMEOUT)
            held = instrumented and case.held is not None
            return _Run(child.expect("done"), received() - held, "")
        except subprocess.TimeoutExpired:
            return _Run({}, received(), f"no end after {_TIMEOUT:g} s:\n{child.log_tail()}")
        except RuntimeError as failure:
            return _Run({}, received(), str(failure))
        finally:
            child.kill()


if __name__ == "__main__":
    sys.exit(main())

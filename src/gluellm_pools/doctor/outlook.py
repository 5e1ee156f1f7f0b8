"""``doctor --what-if`` and ``--workers``: replays with other settings, and a host's capacity."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from opentelemetry.instrumentation.gluellm.diagnosis.findings import Severity
from opentelemetry.instrumentation.gluellm.diagnosis.parts import (
    ConnectionSnapshot,
    PoolSnapshot,
    ProcessSnapshot,
    RequestSnapshot,
)
from opentelemetry.instrumentation.gluellm.diagnosis.rules.capacity import checks, finding_on
from opentelemetry.instrumentation.gluellm.diagnosis.what_if import (
    MOST_CONNECTIONS,
    MOST_TRAFFIC,
    what_if_of,
)
from opentelemetry.instrumentation.gluellm.text import counted

VARIABLE = "GLUELLM_POOLS_DOCTOR_OUTLOOK"
_MOST_WORKERS = 10_000
_SETTINGS = {"max_connections": MOST_CONNECTIONS, "traffic": MOST_TRAFFIC}


@dataclass(frozen=True, slots=True)
class Outlook:
    """What was asked for; nothing by default."""

    what_if: Mapping[str, int]
    """Arguments of `what_if`."""
    workers: int = 0

    @classmethod
    def from_environment(cls) -> Outlook:
        """Return what the doctor that runs this program was asked for."""
        return cls(**json.loads(os.environ.get(VARIABLE) or '{"what_if": {}}'))

    def to_text(self) -> str:
        """Return it for the environment."""
        return json.dumps(asdict(self))

    def on(
        self, process: ProcessSnapshot, pools: Sequence[PoolSnapshot]
    ) -> tuple[str, dict[str, Any]]:
        """Return the text for people, and the same for JSON; both empty if nothing is asked for."""
        parts, content = [], {}
        if self.what_if:
            found = what_if_of(pools, **self.what_if)
            content["what_if"] = [asdict(one) for one in found]
            lines = [f"  {line}" for one in found for line in str(one).splitlines()]
            parts.append("what if, by a replay of the last requests of each pool:")
            parts += lines or ["  no pool is alive that has served a request"]
        if self.workers:
            made = [*checks(process, pools, self.workers)]
            exceeded = finding_on([one for one in made if not one.fits], Severity.WARNING)
            content["capacity"] = [asdict(one) for one in made]
            parts += [""] * bool(parts) + [f"capacity for {counted(self.workers, 'worker')}:"]
            parts += [f"  {'enough' if one.fits else 'TOO LITTLE'}: {one.text}" for one in made]
            if not made:
                parts.append("  no pool with a limit is alive that has served a request")
            if exceeded is not None:
                content["findings"] = [exceeded.to_dict()]
                parts += ["", str(exceeded)]
        return "\n".join(parts), content

    def on_report(self, snapshot: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return the same for the content of a report's snapshot. Raises if that is malformed."""
        pools = [
            _rebuilt(
                PoolSnapshot,
                {
                    **pool,
                    "connections": [_rebuilt(ConnectionSnapshot, c) for c in pool["connections"]],
                    "requests": [_rebuilt(RequestSnapshot, r) for r in pool["requests"]],
                },
            )
            for pool in snapshot["pools"]
        ]
        return self.on(_rebuilt(ProcessSnapshot, snapshot["process"]), pools)


def _rebuilt(kind: Any, content: Mapping[str, Any]) -> Any:
    return kind(**{f.name: content[f.name] for f in fields(kind) if f.name in content})


def add_outlook_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--what-if`` and ``--workers``."""
    parser.add_argument(
        "--what-if",
        action="append",
        default=[],
        type=_setting,
        metavar="SETTING=VALUE",
        help="also replay the last requests with max_connections=N or traffic=N times as many; "
        "can be given once for each",
    )
    parser.add_argument(
        "--workers",
        default=0,
        type=_workers,
        metavar="N",
        help="also check descriptors, ports and HTTP/2 streams for N such processes",
    )


def _setting(text: str) -> tuple[str, int]:
    name, _, value = text.partition("=")
    if not 1 <= _number(value) <= _SETTINGS.get(name, 0):
        allowed = " and ".join(f"{name}=1 to {most}" for name, most in _SETTINGS.items())
        raise argparse.ArgumentTypeError(f"{text!r}: allowed are {allowed}")
    return name, int(value)


def _workers(text: str) -> int:
    if not 1 <= _number(text) <= _MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed are 1 to {_MOST_WORKERS}")
    return int(text)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0

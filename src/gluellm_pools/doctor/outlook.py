"""``doctor --what-if`` and ``--workers``: replays with other settings, and a host's capacity."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

from gluellm_diagnosis.rules.capacity import capacity, checks
from gluellm_diagnosis.what_if import ALLOWED, what_if
from opentelemetry.instrumentation.gluellm.snapshots.snapshot import Snapshot
from opentelemetry.instrumentation.gluellm.text import counted

from ..arguments import number_between

VARIABLE = "GLUELLM_POOLS_DOCTOR_OUTLOOK"


class Outlook(NamedTuple):
    """What was asked for; nothing by default."""

    what_if: Mapping[str, int] = {}
    """Arguments of `what_if`."""
    workers: int = 0

    @classmethod
    def of(cls, options: argparse.Namespace) -> Outlook:
        return cls(dict(options.what_if), options.workers)

    @classmethod
    def from_environment(cls) -> Outlook:
        """Return what the doctor that runs this program was asked for."""
        return cls(*json.loads(os.environ.get(VARIABLE, "[]")))

    def on(self, snapshot: Snapshot) -> tuple[str, dict[str, Any]]:
        """Return the text for people, and what to add to the report as JSON."""
        lines, content = [], {}
        if self.what_if:
            found = what_if(snapshot, **self.what_if)
            content["what_if"] = [asdict(one) for one in found]
            lines = ["what if (replay of the last requests only):"]
            lines += [f"  {line}" for one in found for line in str(one).splitlines()]
        if self.workers:
            pools = (snapshot.process, snapshot.pools, self.workers)
            lines.append(f"capacity for {counted(self.workers, 'worker')}:")
            for one in checks(*pools):
                verdict = "enough" if one.allowed <= one.available else "TOO LITTLE"
                lines.append(f"  {verdict}: {one.text}")
            if not any(pool.connections for pool in snapshot.pools):
                lines.append("  not checked, as no connection is open: local ports, HTTP/2 streams")
            # The report itself has the capacity finding of one worker.
            finding = capacity(*pools) if self.workers > 1 else None
            if finding is not None:
                content["findings"] = [finding.to_dict()]
                lines += ["", str(finding)]
        if lines and not snapshot.pools:
            lines.append("  no pool with observed requests is alive")
        return "\n".join(lines), content

    def add_to(self, report: dict[str, Any], snapshot: Snapshot) -> None:
        """Add the answers to the report on a snapshot."""
        if any(self):
            text, content = self.on(snapshot)
            report["findings"] += content.pop("findings", [])
            report |= {**content, "text": f"{report['text']}\n\n{text}"}


def add_outlook_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--what-if`` and ``--workers``."""
    more: Any = {"action": "append", "default": [], "type": _setting, "metavar": "SETTING=VALUE"}
    settings = "max_connections=N, or with N times the traffic (traffic=N); for both, give it twice"
    parser.add_argument("--what-if", help=f"also replay the last requests with {settings}", **more)
    host = "also check whether the host can run N such processes (descriptors, ports)"
    workers = number_between(1, 10_000, "a number from 1 to 10000")
    parser.add_argument("--workers", default=0, type=workers, metavar="N", help=host)


def _setting(text: str) -> tuple[str, int]:
    name, _, value = text.partition("=")
    try:
        return name, number_between(1, ALLOWED.get(name, 0), "allowed")(value)
    except argparse.ArgumentTypeError:
        allowed = " and ".join(f"{name}=1 to {most}" for name, most in ALLOWED.items())
        raise argparse.ArgumentTypeError(f"{text!r}: allowed are {allowed}") from None

"""By how much a program grows while its Collector takes nothing, beside one that takes all."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from e2e.running import free_port

from .application import Application, exporting
from .playing import Stage

WARM_UP, ROUNDS = 5, 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """By how much a program grew over `ROUNDS` exports, each with four calls."""

    resident: int
    """Bytes."""
    blocks: int
    """Objects, as Python's allocator counts them."""
    exports: int
    failed_exports: int


def grow(protocol: str, stage: Stage) -> tuple[Growth, Growth]:
    """Export again and again, to the Collector and to a port where none is, side by side."""
    collector = stage.stack.collector
    if not collector.running:
        collector.start()
    up = collector.grpc_endpoint if protocol == "grpc" else collector.http_endpoint
    down = f"http://127.0.0.1:{free_port()}"
    with ExitStack() as stack:
        applications = []
        for name, endpoint in (("up", up), ("down", down)):
            instance = f"growth-{name}-{protocol.partition('/')[0]}"
            variables = exporting(endpoint, instance)
            log = stage.folder / f"{instance}.log"
            application = Application(stage.provider_url, protocol, log, variables)
            stack.callback(application.kill)
            applications.append(application)
        figures = []
        for command in ("quiet", f"rounds {WARM_UP}", f"rounds {ROUNDS}"):
            for application in applications:
                application.tell(command)
            figures.append([application.expect("figures") for application in applications])
    before, after = figures[1:]
    to_collector, in_vain = map(_growth, before, after)
    return to_collector, in_vain


def _growth(before: dict[str, Any], after: dict[str, Any]) -> Growth:
    names = ("resident", "blocks", "exports", "failed_exports")
    return Growth(**{name: after[name] - before[name] for name in names})

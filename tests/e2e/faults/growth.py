"""By how much a program grows while its Collector takes nothing, beside one that takes all."""

from __future__ import annotations

from dataclasses import dataclass

from .application import Application, telemetry_environment
from .playing import Stage

WARM_UP, ROUNDS = 10, 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """By how much a program grew over `ROUNDS` exports, each with four calls."""

    resident: int
    """Bytes."""
    blocks: int
    """Objects, as Python's allocator counts them."""
    exports: int
    failed_exports: int


def grow(protocol: str, stage: Stage, *, down: bool) -> Growth:
    """Export again and again, with the Collector down or up."""
    collector = stage.stack.collector
    if down:
        collector.stop()
    elif not collector.running:
        collector.start()
    endpoint = collector.grpc_endpoint if protocol == "grpc" else collector.http_endpoint
    instance = f"growth-{'down' if down else 'up'}-{protocol.partition('/')[0]}"
    variables = telemetry_environment(endpoint, instance)
    log = stage.folder / f"{instance}.log"
    application = Application(stage.provider_url, protocol, log, variables)
    try:
        application.ask("quiet")
        before = application.ask(f"rounds {WARM_UP}")
        after = application.ask(f"rounds {ROUNDS}")
        application.stop()
    finally:
        application.kill()
    return Growth(
        **{name: after[name] - before[name] for name in ("resident", "blocks", "exports")},
        failed_exports=after["failed_exports"] - before["failed_exports"],
    )

"""Annotations mark each event once, and nothing else."""

from pathlib import Path

from gluellm_dashboards.signals import events

from .asking import POOL, check, series

HOOK_MISSING = "gluellm_instrumentation_hook_missing"
_ONE = {"job": "api", "gluellm_hook_library": "any_llm"}
# The step of the annotations is the window, four minutes.


def process(name: str, version: str, values: str) -> dict[str, str]:
    return series(HOOK_MISSING, {**_ONE, "instance": name, "service_version": version}, values)


def limit(name: str, most: str, live: str = "1x60") -> list[dict[str, str]]:
    labels = {**POOL, "instance": name}
    return [
        series("gluellm_pool_connection_max", labels, most),
        series("gluellm_pool_live", labels, live),
    ]


def test_a_new_version_is_marked_with_its_number_for_one_step(tmp_path: Path) -> None:
    """A deploy: new processes with a new version. After one step, they are not marked any more."""
    written = [process("a", "1.0", "0x60"), process("b", "1.1", "_x30 0x30")]
    found = {'{job="api", service_version="1.1"}': 1.0}
    check(tmp_path, written, (events.STARTED, "33m", found), (events.STARTED, "40m", {}))


def test_a_gap_in_the_data_is_not_marked_as_a_start(tmp_path: Path) -> None:
    """A Collector restarts: for seven minutes there is no data, then the same processes report."""
    written = [process("a", "1.0", "0x20 _x7 0x30")]
    check(tmp_path, written, *((events.STARTED, f"{minute}m", {}) for minute in range(28, 45)))


def test_a_limit_that_changes_is_marked(tmp_path: Path) -> None:
    """A deploy changes it from 100 to 10."""
    written = limit("a", "100x30 10x30")
    found = '{job="api", gen_ai_provider_name="openai", gluellm_pool_name="openai"}'
    changed = events.LIMIT_CHANGED
    check(tmp_path, written, (changed, "32m", {found: 10.0}), (changed, "40m", {}))


def test_more_processes_and_pools_do_not_mark_a_changed_limit(tmp_path: Path) -> None:
    """The sum of the limits grows, but the limit of each pool stays the same."""
    written = [*limit("a", "100x30 300x30", "1x30 3x30"), *limit("b", "_x30 100x30", "_x30 1x30")]
    check(tmp_path, written, (events.LIMIT_CHANGED, "32m", {}))

"""Measurements, each in its own process, made once when a row needs them."""

import functools
import json
import sys
from concurrent.futures import ThreadPoolExecutor

from studies.talking import ran

from . import counting, instructions
from .counting import TIMEOUT
from .workload import FAMILIES

_PACKAGE = __package__ or ""


@functools.cache
def part(module: str, argument: str = "") -> dict[str, float]:
    """What a module of this package measures, in a process of its own."""
    command = [sys.executable, "-m", f"{_PACKAGE}.{module}", *([argument] if argument else [])]
    print(f"measuring: {module} {argument}", file=sys.stderr, flush=True)
    return dict(json.loads(ran(*command, timeout=TIMEOUT).splitlines()[-1]))


@functools.cache
def instruction_counts(family: str) -> counting.Counts:
    """Instruction counts of a family's combinations, measured by two processes at a time."""
    print(f"measuring: instructions of {family}, under valgrind", file=sys.stderr, flush=True)
    found: counting.Counts = {}
    with ThreadPoolExecutor(2) as pool:
        for counts in pool.map(instructions.measure, FAMILIES[family]):
            found.update(counts)
    return found


def cpu_times(family: str) -> dict[str, dict[str, float]]:
    """CPU times of a family's async combinations, which any-llm uses, or else its sync ones."""
    chosen = [each for each in FAMILIES[family] if each.mode == "async"] or FAMILIES[family]
    return {str(each): part("cpu", str(each)) for each in chosen}

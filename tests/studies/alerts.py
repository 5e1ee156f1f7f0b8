"""Breaks the conditions of each alert one by one, and lists the breaks that no test detects.

``make -C tests/studies alerts [ARGS=ALERT]``; exits with 1 if promtool's tests miss a break.
"""

import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from e2e.rules.deciding import Rule, decided, group_of_alerts

from .figures import Parser

_THRESHOLD = re.compile(r"(?<=[<>=] )\d+(?:\.\d+)?")
_BORN = re.compile(
    r"\((\w+(?:\{[^}]*\})?) unless on \([^)]*\) last_over_time\([^)]*\)\) or (rate\([^)]*\) \* \d+)"
)


def mutants(rule: Rule) -> Iterator[tuple[str, Rule]]:
    """Each break in words, and the rule with it."""
    if "for" in rule:
        yield "for is 0s", {**rule, "for": "0s"}
        yield "for is 2h", {**rule, "for": "2h"}
    for what, expression in _broken(rule["expr"]):
        yield what, {**rule, "expr": expression}


def _broken(expression: str) -> Iterator[tuple[str, str]]:
    for match in _THRESHOLD.finditer(expression):
        value = float(match[0])
        for other in (value / 1000, value * 1000) if value else (1000.0,):
            changed = f"{expression[: match.start()]}{other:g}{expression[match.end() :]}"
            yield f"threshold {match[0]} is {other:g}", changed
    if _BORN.search(expression):
        yield "new series are not counted", _BORN.sub(r"\2", expression)
        twice = _BORN.sub(r"sum without (none) (\g<0>) + \2", expression)
        yield "new series count twice", twice
        yield "every series is new", _BORN.sub(r"\1", expression)
        others = re.sub(r"unless on \([^)]*\)", "unless", expression)
        yield "a label that comes later makes it new", others
        instances = expression.replace("unless on (job, instance, ", "unless on (job, ")
        yield "one instance makes all known", instances
        yield "a new version is known", expression.replace(" service_version,", "")
        yield "an hour's memory is short", expression.replace("[1h]", "[5m]")
    if "[150s]" in expression:
        yield "a state is believed for ever", expression.replace("150s", "1h")
        yield "a state is believed for 10 s", expression.replace("150s", "10s")


def survives(rules: list[Rule], name: str) -> bool:
    """Whether the tests of an alert pass with these rules."""
    with tempfile.TemporaryDirectory() as folder:
        done = decided(rules, name, Path(folder))
    output = done.stdout + done.stderr
    if "exp:" not in output and done.returncode != 0:
        raise RuntimeError(output)
    return done.returncode == 0


def _reading(recording: Rule, rules: list[Rule]) -> list[str]:
    """The alerts that read what a rule records."""
    reading = (rule for rule in rules if recording["record"] in rule["expr"])
    return sorted({rule["alert"] for rule in reading if "alert" in rule})


def main() -> int:
    """Return 1 if a break is not detected."""
    rules: list[Rule] = group_of_alerts()["rules"]
    known = {rule["alert"] for rule in rules if "alert" in rule}
    parser = Parser("alerts", __doc__)
    parser.add_argument("alert", nargs="*", choices=[*sorted(known), []], metavar="alert")
    names = parser.parse_args().alert
    survivors = tried = 0
    for place, rule in enumerate(rules):
        # At least one of the alerts that read a recorded series has to detect a break in its rule.
        concerned = [rule["alert"]] if "alert" in rule else _reading(rule, rules)
        if names and not set(concerned) & set(names):
            continue
        for what, mutant in mutants(rule):
            together = [mutant if at == place else one for at, one in enumerate(rules)]
            tried += 1
            if all(survives(together, name) for name in concerned):
                survivors += 1
                called = rule.get("alert") or rule["record"]
                print(f"not detected: {called} {rule.get('labels', '')}: {what}", flush=True)
    print(f"{tried} breaks, {tried - survivors} detected")
    return int(bool(survivors))


if __name__ == "__main__":
    sys.exit(main())

"""``python -m e2e.boards``: the boards, and how many of their queries have data on each way."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from .asking import Asking, ask, boards, filled
from .empty import FROM, NEVER, QUIET, acts_with_data
from .playing import Story, Way, arrived, played
from .recording import record
from .rules import alerts, recording_rules


def main() -> int:
    """0 when no query was refused and none lacks data that it should have, else 1."""
    argparse.ArgumentParser(prog="e2e.boards", description=__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            with played(Path(folder)) as story:
                arrived(story)
                record(story)
                return _print(story)
        except (pytest.skip.Exception, pytest.fail.Exception) as missing:
            print(missing, file=sys.stderr)
            return 2


def _print(story: Story) -> int:
    print(f"All {len(story.periods)} acts of the demo, {story.ended - story.began:.0f} s.\n")
    print("| board | panels | queries | " + " | ".join(way.name for way in story.ways) + " |")
    print("|---|---|---|" + "---|" * len(story.ways))
    wrong: list[str] = []
    for board in boards():
        questions = board.questions
        panels = len({question.panel for question in questions})
        cells = [_with_data(story, way, board, wrong) for way in story.ways]
        row = [board.title, str(panels), str(len(questions)), *map(str, cells)]
        print("| " + " | ".join(row) + " |")
    for name, count in (("recording rules", recording_rules()), ("alerts", alerts())):
        cells = [_answered(story, way, [rule.expression for rule in count]) for way in story.ways]
        print("| " + " | ".join([name, "", str(len(count)), *map(str, cells)]) + " |")
    print("\nWithout data in the demo:")
    for metric, reason in NEVER.items():
        print(f"- {metric.name}: {reason}")
    for panel, reason in QUIET.items():
        print(f"- {panel!r}: {reason}")
    print("From an event on:")
    for metric, (act, reason) in FROM.items():
        print(f"- {metric.name}, from {act}: {reason}")
    for line in wrong:
        print(f"WRONG: {line}")
    return 1 if wrong else 0


def _with_data(story: Story, way: Way, board: Asking, wrong: list[str]) -> int:
    found = 0
    for question in board.questions:
        answer = ask(way, story, filled(question.expression, board.variables, job=way.job))
        found += bool(answer.series)
        if answer.error:
            wrong.append(f"{way.name}, {question.panel}: {answer.error}")
        for act in acts_with_data(question.expression, way, question.panel):
            if not answer.during(story.periods[act]):
                wrong.append(f"{way.name}, {question.panel}: nothing in {act}")
    return found


def _answered(story: Story, way: Way, expressions: Sequence[str]) -> int:
    answers = [ask(way, story, expression) for expression in expressions]
    return sum(
        any(labels.get("job") == way.job for labels, _ in answer.series) for answer in answers
    )


if __name__ == "__main__":
    sys.exit(main())

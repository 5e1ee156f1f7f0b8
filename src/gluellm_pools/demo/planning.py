"""Which acts are played, and for how long each."""

from __future__ import annotations

from collections.abc import Sequence

from .acts import SCENARIOS, STORY, Act


def plan(scenario: str | None, seconds: float) -> list[tuple[Act, float]]:
    """The acts with the seconds that each takes.

    Each has the time that it needs, and they share what is left. Where the story's acts don't all
    fit, those are played that do, in their order.
    """
    if scenario is None:
        acts: list[Act] = []
        for act in STORY:
            ready = act.after is None or SCENARIOS[act.after] in acts
            if ready and _needed([*acts, act]) <= seconds:
                acts.append(act)
        spare = (seconds - _needed(acts)) / len(acts)
        return [(act, act.shortest + spare) for act in acts]
    act = SCENARIOS[scenario]
    if act.after is None:
        return [(act, seconds)]
    return [(SCENARIOS[act.after], seconds / 2), (act, seconds / 2)]


def left_out(acts: Sequence[tuple[Act, float]]) -> str:
    """A sentence on the story's acts that have no time, empty where there is none."""
    played = {act.name for act, _ in acts}
    missing = [act.name for act in STORY if act.name not in played]
    if not missing:
        return ""
    return (
        f"Left out, since they need more time: {', '.join(missing)}. The whole story takes "
        f"{_needed(STORY):g} s or more; --scenario plays one act."
    )


def _needed(acts: Sequence[Act]) -> float:
    return round(sum(act.shortest for act in acts), 3)

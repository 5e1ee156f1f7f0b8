"""Checks that have to hold for each break."""

from collections.abc import Iterator

from .trial import Break, Outcome


def counts(what: Break, outcome: Outcome) -> bool:
    """Whether the break was effective: the package has to read a changed attribute."""
    return outcome.applicable and (what.kind != "attribute" or bool(outcome.reads))


def too_many(again: int, breaks: int) -> bool:
    """Whether more breaks needed a second try than a busy machine explains."""
    return again > 3 + breaks // 10


def complaints(what: Break, outcome: Outcome) -> Iterator[str]:
    """Descriptions of the checks that failed."""
    if not outcome.applicable:
        return
    if outcome.failed:
        yield "crashed: " + outcome.failed
        return
    if outcome.without != outcome.observed:
        yield "requests are affected: " + _differences(outcome.without, outcome.observed)
    if outcome.afterwards and outcome.without != outcome.afterwards:
        yield "requests are affected after uninstrument(): " + _differences(
            outcome.without, outcome.afterwards
        )
    for words, left in outcome.for_ever.items():
        if left:
            yield f"{left:g} {words} for ever"
    if len(outcome.warnings) != len(outcome.off) + len(outcome.errors):
        yield f"{len(outcome.warnings)} warnings for {outcome.off} and {outcome.errors}"
    if len(set(outcome.warnings)) < len(outcome.warnings):
        yield "a warning twice"
    for warning in outcome.warnings:
        if "Traceback" in warning:
            yield "a traceback in a warning: " + warning
    if outcome.stderr and not outcome.noisy:
        yield "on stderr: " + outcome.stderr[-1500:]
    if outcome.left:
        yield f"left behind: {outcome.left[:5]}"


def _differences(before: list[str], after: list[str]) -> str:
    pairs = [
        f"{one!r} became {other!r}"
        for one, other in zip(before, after, strict=False)
        if one != other
    ]
    if len(before) != len(after):
        pairs.append(f"{len(before)} results became {len(after)}")
    return "; ".join(pairs[:4])

"""Changes: how the answers of a provider have become slower than before."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from statistics import mean, median
from typing import NamedTuple

from opentelemetry.instrumentation.gluellm import thresholds
from opentelemetry.instrumentation.gluellm.snapshots.parts import PROVIDERS_PART, Answer, Group
from opentelemetry.instrumentation.gluellm.text import percent, seconds

from .case import PoolCase
from .rules.process import lag_explains

_Times = Sequence[float]
_HEAD, _ITEM, _REST = "to the headers", "per item", "for the rest"


class _Compared(NamedTuple):
    """Answers of one group: a model and a call site."""

    group: Group
    now: list[Answer]
    before: list[Answer]
    waiting: _Times
    """Ages of requests that have waited for longer than any answer before."""


def slower_groups(case: PoolCase) -> tuple[dict[Group, str], bool]:
    """Return by group how much slower it has become, as text, and whether the rest is no slower.

    Groups with too few answers to compare are left out. The second value is whether the means of
    most answers are no longer than before.
    """
    found, same = {}, 0
    for one in _compared(case):
        was, times = _parts(one.before), _parts(one.now, one.waiting)
        both = {part: (times[part], was[part]) for part in _comparable(case)}
        both = {part: pair for part, pair in both.items() if all(pair)}
        texts = (_how_slower(case, one, part, *pair) for part, pair in both.items())
        found[one.group] = ", ".join(filter(None, texts))
        longer = any(mean(now) >= thresholds.SLOWER * mean(old) for now, old in both.values())
        same += 0 if longer else len(one.now)
    return found, 2 * same > len(_latest(case))


def _how_slower(case: PoolCase, one: _Compared, part: str, times: _Times, was: _Times) -> str:
    """Return text if this part of a group's answers takes longer than before, else empty.

    It does if three quarters of its times are at least twice the median before, and `_of_half`
    doubled as well; or if the share of much slower ones rose, since means depend on a few long
    answers. It does not if late loops can be the reason, or if only its short calls ended.
    """
    usual, most = median(was), sorted(times)[len(times) // 4]
    least = thresholds.SLOWER_ITEM if part == _ITEM else thresholds.SLOWER_BY
    number = median([a.items for a in one.now if a.items] if part == _ITEM else [1])
    late = lag_explains(case, number * (most - usual), number * most)
    grew = _of_half(times) > thresholds.SLOWER * _of_half(was)
    if most >= thresholds.SLOWER * usual and most - usual >= least and grew and not late:
        return f"median {seconds(median(times))} {part} (before: {seconds(usual)})"
    share = "" if part != _HEAD or case.loop_is_blocked else slow_share(case, one.group)
    return f"{share} {part} (before: median {seconds(usual)})" if share else ""


def _latest(case: PoolCase) -> list[Answer]:
    answers, _ = case.compared_answers
    if case.loop_is_blocked:  # longer ago, pauses are not known
        answers = [answer for answer in answers if answer.ago <= thresholds.PEAK_REMEMBERED]
    return answers


def _compared(case: PoolCase) -> Iterator[_Compared]:
    """Yield the groups that have enough answers now and before."""
    # The times before are fewer and from a start that can differ.
    enough = thresholds.BASELINE_REQUESTS if case.is_young else thresholds.CURRENT_REQUESTS
    asked = (r.group for r in case.requests if r.phase == "awaiting_response")
    its_now, its_before = by_group(_latest(case)), by_group(case.compared_answers[1])
    for group in dict.fromkeys((*its_now, *asked)):
        now, before = its_now.get(group, []), its_before.get(group, [])
        longest = max((answer.head for answer in before), default=0.0)
        # What waits for longer than ever before counts, though its time is not over.
        waiting = [age for age in _waits(case, group) if age > longest]
        if len(now) + len(waiting) >= enough and len(before) >= thresholds.BASELINE_REQUESTS:
            yield _Compared(group, now, first_half(before), waiting)


def _comparable(case: PoolCase) -> tuple[str, ...]:
    """Return the parts of answers to compare: later ones include the application's pauses."""
    unread, reading = (case.activity.time(phase) for phase in ("unread", "reading"))
    paused = unread >= thresholds.UNREAD_SHARE * (unread + reading)
    return (_HEAD,) if paused else (_HEAD, _ITEM, _REST)


def _parts(answers: Sequence[Answer], waiting: _Times = ()) -> dict[str, _Times]:
    """Return the times to the headers and after them.

    For streams, the latter are per item: a longer answer is not a slower one.
    """
    return {
        _HEAD: [*(answer.head for answer in answers), *waiting],
        _ITEM: [answer.rest / answer.items for answer in answers if answer.items],
        _REST: [answer.rest for answer in answers if not answer.items],
    }


def by_group(answers: Iterable[Answer]) -> dict[Group, list[Answer]]:
    """Return the answers of each group, in their order."""
    found: dict[Group, list[Answer]] = {}
    for one in answers:
        found.setdefault(one.group, []).append(one)
    return found


def _of_half(times: _Times) -> float:
    """Return the time up to which requests take half of the summed time.

    It stays the same when the short calls of a mix end, and the median does not.
    """
    order = sorted(times)
    sums = list(accumulate(order))
    return next(time for time, so_far in zip(order, sums, strict=True) if 2 * so_far >= sums[-1])


def slow_share(case: PoolCase, group: Group) -> str:
    """Return text if a part of the answers begins much later than before, else empty.

    Requests that were sent in the same time are compared, since the first minutes of a process
    have no long answers, and a pause begins with long ones.
    """
    # In that time, answers are kept whether they are short or long.
    latest = max((answer.ago for answer in case.totals.answers), default=0.0)
    since = min(latest, case.age / 2 if case.is_young else case.recent)
    kept = [answer for answer in case.kept_answers if answer.group == group]
    before = [answer for answer in kept if answer.ago > since]
    if not before:
        return ""
    # An answer is late if it begins much later than three quarters of the first ones.
    usual = sorted(answer.head for answer in first_half(before))
    most = usual[3 * len(usual) // 4]
    least = max(thresholds.SLOWER * most, most + thresholds.PARTLY_SLOW_BY)
    waiting = [age for age in _waits(case, group) if least <= age <= since]
    now = [one.head for one in kept if one.ago + took(one) <= since]
    late = [head for head in now if head >= least]
    number = len(now) + len(waiting)
    share = (len(late) + len(waiting)) / max(number, 1)
    many = number >= thresholds.PARTLY_SLOW_REQUESTS and share >= thresholds.PARTLY_SLOW_SHARE
    # Those that ended sooner than ``long`` after the first request are quick answers as well.
    long = median(late or waiting or [0.0])
    began = max(answer.ago + took(answer) for answer in before)
    were_late = [answer.head >= least for answer in before if answer.ago + long <= began]
    rose = many and _rose_beyond_chance(share, number, were_late, _sure(long, max(usual)))
    if not rose or _came_and_went(share, were_late):
        return ""
    return f"{percent(share)} took {'' if late else 'at least '}about {seconds(long)}"


def _waits(case: PoolCase, group: Group) -> list[float]:
    """Return how long requests of a group have waited: slow answers may still be in flight."""
    its = (r for r in case.requests if r.phase == "awaiting_response" and r.group == group)
    return [request.phase_age for request in its for _ in request.alike]


def _sure(long: float, longest: float) -> float:
    """Return the evidence that is enough: less if they take far longer than any before."""
    far = max(thresholds.MUCH_SLOWER * longest, longest + thresholds.MUCH_SLOWER_BY)
    return thresholds.PARTLY_SLOW_SURE_FAR if long >= far else thresholds.PARTLY_SLOW_SURE


def _rose_beyond_chance(share: float, answers: int, were_late: Sequence[bool], sure: float) -> bool:
    """Return whether a ``share`` of ``answers`` that are late now is more than before.

    ``were_late`` has the answers before, the first one first. What is slow now may have begun among
    them, so a lower share in any first part of them is enough. A constant mix of short and long
    answers differs by chance only.
    """
    return any(
        2 * late <= share * number and z_score(share, answers, late, number) >= sure
        for number, late in enumerate(accumulate(were_late), 1)
    )


def z_score(share: float, number: int, before: int, number_before: int) -> float:
    """Return the statistic of a one-sided z-test: whether a share is larger than it was.

    It is a ``share`` of ``number`` now, and was ``before`` of ``number_before``. The result is in
    standard deviations of the difference if nothing changed, for counts that vary as in a Poisson
    process.
    """
    expected = share * number_before
    return (expected - before) / math.sqrt(expected * (1 + number_before / number))


def _came_and_went(share: float, were_late: Sequence[bool]) -> bool:
    """Return whether about as many answers as now were late for a while, and then fewer again.

    Batches or sessions of long answers come and go: they are no finding.
    """
    total = longest = 0.0
    for late in were_late:
        # Page's one-sided CUSUM: it stays above 0 as long as more than half the share are late.
        total = max(total + late - share / 2, 0.0)
        if not total and longest >= thresholds.PARTLY_SLOW_ONCE:
            return True
        longest = max(longest, total) if total else 0.0
    return False


def took(answer: Answer) -> float:
    """Return the seconds from the request to the end of its answer."""
    return answer.head + answer.rest


def usual_answers(case: PoolCase) -> dict[Group, list[Answer]]:
    """Return the answers of each group from before the incident, or all if these are too few."""
    earlier, usual = by_group(case.compared_answers[1]), by_group(case.kept_answers)
    for group, its in earlier.items():
        if len(its) >= thresholds.BASELINE_REQUESTS:
            usual[group] = first_half(its)
    return usual


def first_half(before: list[Answer]) -> list[Answer]:
    """Return the first half if that is enough. What is slow now may have begun in the second."""
    # Long ones end later than short ones that were sent at the same time.
    before = sorted(before, key=lambda answer: -answer.ago - took(answer))
    half = len(before) // 2
    return before[:half] if half >= thresholds.BASELINE_REQUESTS else before


def is_slower(case: PoolCase) -> bool:
    """Return whether the provider takes markedly longer per request than in the baseline.

    Longer answers at the same speed, and more calls of a slower model, do not count.
    """
    groups, same = slower_groups(case)
    if same or case.loop_is_blocked or any(groups.values()):
        return any(groups.values())
    before = case.baseline
    enough = case.activity.sent + case.activity.held_now >= thresholds.CURRENT_REQUESTS
    if before is None or before.served < thresholds.BASELINE_REQUESTS or not enough:
        return False
    was = before.provider_time(*PROVIDERS_PART, at_most=True)
    now = case.activity.provider_time(*PROVIDERS_PART)
    # Other calls of the same mix may have taken as long before.
    answers, earlier = case.compared_answers
    asked = {one.group for one in answers} | {one.group for one in case.requests}
    longest = max((took(one) for one in earlier if one.group in asked), default=0.0)
    return now > max(longest, thresholds.SLOWER * was, was + thresholds.SLOWER_BY)

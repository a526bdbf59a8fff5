"""Nothing is paid twice, over all nights and whatever the order and the neighbours: no recording and no sample of one.

A recording or sample counts as answered where a night that came to its end got the answer, or where a transcript of it
was seen. What only killed nights were answered may be lost.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from tests.nights.answers import Identity
from tests.nights.case import Case
from tests.nights.recordings import samples_of_long

Stretch = tuple[int, int]


def paid(case: Case) -> Iterator[str]:
    """Nothing is answered twice, but what a kill may have lost or the user asked for again."""
    before = case.before
    now = Counter(one.identity for one in case.ended.asked if one.answered and one.span is None)
    wanted = Counter(one.identity for one in case.wanted if one.identity is not None)
    for identity, times in now.items():
        allowed = 0 if identity in before.sure else 1
        if case.asked_again:
            allowed = max(allowed, wanted[identity])
        if times > allowed:
            yield f"{identity} was answered {times} times, {allowed} allowed"
    for one in case.ended.asked:
        if one.identity not in wanted:
            yield f"{one.identity} was sent, and no row wants it"
    if case.night.limit is not None and len({one.identity for one in case.ended.asked}) > case.night.limit:
        yield f"--limit {case.night.limit} sent {case.ended.asked}"
    if not case.asked_again:
        yield from samples(case)


def samples(case: Case) -> Iterator[str]:
    """No request carries samples that were answered under its settings."""
    answered: defaultdict[tuple[Identity, str], list[Stretch]] = defaultdict(list)
    answered |= {key: list(found) for key, found in case.before.heard.items()}
    for one in case.ended.asked:
        if one.span is None:
            continue
        if one.identity in case.before.sure:
            yield f"{one} was sent, and there is a transcript of it"
            continue
        key, stretch = (one.identity, one.span.track), (one.span.first, one.span.last)
        if rest_of(stretch, answered[key]) != [stretch]:
            yield f"{one} was sent, though {answered[key]} was answered"
        if one.answered:
            answered[key].append(stretch)


def rest_of(stretch: Stretch, answered: list[Stretch]) -> list[Stretch]:
    """What of a stretch was not answered."""
    rest = [stretch]
    for first, last in answered:
        cut = [((begin, min(end, first)), (max(begin, last), end)) for begin, end in rest]
        rest = [piece for both in cut for piece in both if piece[0] < piece[1]]
    return rest


def pieces(case: Case) -> Iterator[str]:
    """A transcript of several clips has each sample of each channel once, all of them answered."""
    lengths = samples_of_long() if any(row.spans for row in case.now.rows.values()) else {}
    now: defaultdict[Identity, set[object]] = defaultdict(set)
    for one in case.ended.asked:
        if one.answered and one.span is not None:
            now[one.identity].add(one.span)
    for row in case.now.rows.values():
        if not row.spans or row.identity is None:
            continue
        if strange := set(row.spans) - case.before.spans[row.identity] - now[row.identity]:
            yield f"the row of {row.id} has words of pieces that were never answered: {strange}"
        for track in ("mix",) if row.identity.channels == "mix" else ("0", "1"):
            edges = [(span.first, span.last) for span in row.spans if span.track == track]
            ends = [0, *(last for _, last in edges)]
            if [first for first, _ in edges] != ends[:-1] or ends[-1] != lengths[row.identity.content]:
                yield f"the row of {row.id} does not have every sample of {track} once: {edges}"

"""Which answered spans are used for a stretch of a track, and what is cut around them."""

from __future__ import annotations

from itertools import combinations, pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipeline.audio.spans import MIN_SAMPLES, answered_spans, best_spans, key_of, pieces_around

HOUR = 3_600 * 24_000


def cut(longest: int, first: int, samples: int) -> list[int]:
    return list(range(first + longest, first + samples, longest))


def spans(*limits: tuple[int, int]) -> list[str]:
    return [key_of("mix", first, last - first) for first, last in limits]


def used(keys: list[str], first: int, last: int) -> list[tuple[int, int]]:
    return [(span.first, span.last) for span in best_spans(answered_spans(keys, ("mix",)), first, last)]


def sent(keys: list[str], first: int, last: int) -> list[tuple[int, int, int]]:
    """What of the stretch goes out, as (first, last, silence before it)."""
    pieces = pieces_around(best_spans(answered_spans(keys, ("mix",)), first, last), "mix", first, last, lambda *_: [])
    return [(piece.first, piece.last, piece.lead) for piece in pieces if not piece.is_answered]


some_spans = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda ends: (min(ends) * 100, max(ends) * 100)),
    max_size=8,
)


@given(
    st.lists(st.tuples(st.integers(0, HOUR), st.integers(0, HOUR // 4)), max_size=30),
    st.integers(0, HOUR // 2), st.integers(1, HOUR), st.integers(MIN_SAMPLES, HOUR // 2), st.randoms(),
)  # fmt: skip
def test_a_stretch_is_covered_once_and_answers_keep_their_edges(
    drawn: list[tuple[int, int]], start: int, samples: int, longest: int, order: st.DataObject
) -> None:
    keys = [key_of("mix", first, count) for first, count in drawn]
    end = start + samples
    kept = best_spans(answered_spans(keys, ("mix", "0")), start, end)
    pieces = pieces_around(kept, "mix", start, end, lambda first, count: cut(longest, first, count))
    assert [pieces[0].first, *(piece.last for piece in pieces)] == [*(piece.first for piece in pieces), end]
    assert pieces[0].first == start
    for piece in pieces:
        assert piece.samples > 0
        assert piece.key == key_of("mix", piece.first, piece.samples)
        assert piece.is_answered == (piece in kept)
        assert piece.is_answered or piece.samples <= longest
        assert not piece.is_answered or piece.key in keys
        assert not kept or piece.is_answered or piece.lead + piece.samples >= MIN_SAMPLES
        assert piece.lead < MIN_SAMPLES
    order.shuffle(keys)  # type: ignore[attr-defined]
    assert best_spans(answered_spans(keys, ("mix", "0")), start, end) == kept


@given(some_spans, st.integers(0, 30), st.integers(31, 60))
def test_as_much_is_used_as_can_be(limits: list[tuple[int, int]], first: int, last: int) -> None:
    begin, end = first * 100, last * 100
    inside = [one for one in set(limits) if begin <= one[0] < one[1] <= end]
    best = max(
        (sum(last - first for first, last in some), -len(some))
        for count in range(len(inside) + 1)
        for some in combinations(sorted(inside), count)
        if all(one[1] <= other[0] for one, other in pairwise(some))
    )
    found = used(spans(*limits), begin, end)
    assert (sum(last - first for first, last in found), -len(found)) == best


def test_only_names_of_the_track_count() -> None:
    keys = ["mix:0+10", "0:10+10", "ch0:20+10", "ch1:30+10", "mix:x+1", "mix:1+0", "mix:-1+5", ""]
    assert [span.key for span in answered_spans(keys, ("mix", "0"))] == ["mix:0+10", "0:10+10"]


def test_a_scrap_between_answered_spans_is_sent_by_itself_and_behind_silence() -> None:
    second = 24_000
    keys = spans((0, 10 * second), (10 * second + 100, 15 * second), (15 * second, 30 * second))
    assert sent(keys, 0, 30 * second) == [(10 * second, 10 * second + 100, MIN_SAMPLES - 100)]
    assert sent(keys, 10 * second + 50, 30 * second + 1) == [
        (10 * second + 50, 10 * second + 100, MIN_SAMPLES - 50),
        (30 * second, 30 * second + 1, MIN_SAMPLES - 1),
    ]
    # what is no scrap, or has no answered neighbour, goes out as ever
    assert sent(spans((MIN_SAMPLES, 2 * MIN_SAMPLES)), 0, 2 * MIN_SAMPLES) == [(0, MIN_SAMPLES, 0)]
    assert sent([], 0, 300) == [(0, 300, 0)]

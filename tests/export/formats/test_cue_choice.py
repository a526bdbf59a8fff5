"""Of all ways to part words into cues one of the best is found: compared with trying every one."""

from __future__ import annotations

import math
import textwrap
from itertools import combinations, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.export.formats.cue_limits import CueLimits
from pipeline.model import Word
from tests.export.formats.test_cues import check, of

LIMITS = CueLimits(line_chars=20)
texts = st.sampled_from(("Yes.", "incomprehensible", "house,", "a", "wonderfully", "and"))
lengths = st.sampled_from((50, 100, 200, 300))
silences = st.sampled_from((0, 0, 50, 300, 900, 2000))


@given(st.lists(st.tuples(texts, lengths, silences), min_size=1, max_size=7))
@settings(max_examples=40, deadline=None)
def test_no_other_cues_have_fewer_that_are_too_short_or_then_too_fast(
    said: list[tuple[str, int, int]],
) -> None:
    words, begins, now = [], [], 0
    for text, length, silence in said:
        words.append(Word(text=text, start_s=now / 1000, stop_s=(now + length) / 1000))
        begins.append(now)
        now += length + silence
    exceeded = check(of(words), LIMITS)[1].exceeded
    found = tuple(
        exceeded.get(what, 0) for what in ("cues shorter than 0.83 s", "cues faster than 20 characters a second")
    )
    cuts = (cut for size in range(len(said)) for cut in combinations(range(1, len(said)), size))
    assert found == min(filter(None, (exceeds(said, begins, [0, *cut, len(said)]) for cut in cuts)))


def exceeds(said: list[tuple[str, int, int]], begins: list[int], ends: list[int]) -> tuple[int, int] | None:
    """How many of these cues are too short and too fast however long they are shown; None where one is too large."""
    short = fast = 0
    for start, end in pairwise(ends):
        lines = textwrap.wrap(" ".join(text for text, *_ in said[start:end]), LIMITS.line_chars)
        over = begins[end - 1] + said[end - 1][1]
        if len(lines) > 2 or over - begins[start] > 7000:
            return None
        room = min(7000, begins[end] - begins[start] if end < len(said) else math.inf)
        chars = sum(map(len, lines))
        short += room < 5000 / 6
        fast += chars * 1000 > 20 * room
    return short, fast

"""Names that formats with fields separated by blanks take, and no two of them equal."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.export.formats.fields import channel_name, name, plain
from tests.export.formats.rows import IDS


@settings(max_examples=40)
@given(st.lists(IDS, min_size=2, max_size=6, unique=True))
def test_no_two_texts_have_one_name(ids: list[str]) -> None:
    names = [name(id_) for id_ in ids] + [channel_name(id_, channel) for id_ in ids for channel in (0, 1, 10)]
    assert len({*names}) == len(names)
    for one in names:
        assert one.split() == [one]
        assert one.isprintable()
        assert not {*one} & {*";*<>"}
        assert "#0" not in one


@settings(max_examples=40)
@given(st.lists(IDS, min_size=2, max_size=6, unique=True))
def test_no_name_is_between_the_channels_of_another(ids: list[str]) -> None:
    named = sorted(
        [(name(id_).encode(), id_) for id_ in ids[::2]]
        + [(channel_name(id_, channel).encode(), id_) for id_ in ids[1::2] for channel in (0, 1, 2, 10)]
    )
    turns = [id_ for place, (_, id_) in enumerate(named) if place == 0 or named[place - 1][1] != id_]
    assert len({*turns}) == len(turns)


def test_a_name_stays_readable() -> None:
    assert name("calls/mon day.wav#t=10,12.5&channel=1") == "calls/mon%20day.wav#t=10,12.5&channel=1"
    assert name("100%") == "100%25"
    assert name("h\u00f6r\u2028") == "h\u00f6r%E2%80%A8"


def test_a_time_has_no_more_decimals_than_it_needs() -> None:
    assert [plain(time) for time in (0.0, 10.0, 1.5, 0.1 + 0.2, 1e-6)] == ["0", "10", "1.5", "0.3", "0.000001"]

"""Labels read back as Audacity's manual describes them."""

from __future__ import annotations

from hypothesis import given, settings

from pipeline.export.formats.audacity import Audacity
from pipeline.export.formats.format import Recording
from pipeline.export.formats.spoken import spoken
from pipeline.model import Transcript, Word
from tests.export.formats.rows import row_of, rows


def read(*found: Transcript) -> list[tuple[float, float, str]]:
    text = Audacity().document(Recording(audio="/a.wav", rows=found)).text
    assert text == "" or text.endswith("\n")
    labels = []
    for line in text.split("\n")[:-1]:
        start, stop, label = line.split("\t")
        assert "\r" not in label
        assert 0 <= float(start) <= float(stop)
        labels.append((float(start), float(stop), label))
    return labels


@settings(max_examples=20)
@given(rows())
def test_each_segment_is_a_label(row: Transcript) -> None:
    segments = spoken((row,))
    several = len({segment.channel for segment in segments}) > 1
    assert read(row) == [
        (segment.start_s, segment.stop_s, f"{segment.channel + 1}: " * several + segment.text) for segment in segments
    ]


def test_no_text_breaks_a_line() -> None:
    assert read(row_of("a", [Word(text="a\tb\r\nc", start_s=1.0, stop_s=2.0)])) == [(1.0, 2.0, "a b  c")]
    assert read(row_of("a")) == []

"""STM: references and transcripts with their times, for NIST's sclite and tools like it. Pure.

Names, channels and the clock are those of `ctm`, which is scored against the references.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipeline.export.formats.fields import (
    channel_name,
    channel_number,
    line,
    milliseconds,
    name,
    seconds,
    speaker,
)
from pipeline.export.formats.sclite import IGNORED, scored_word
from pipeline.export.formats.spoken import spoken
from pipeline.model import Transcript


class Stm:
    """`name channel speaker begin end text`, sorted by name and channel, in the order of bytes, and begin.

    A transcript is never written as a reference: it would be scored as one without an error.
    """

    files: tuple[str, ...] = ("references.stm", "transcripts.stm")
    """A line for each row: its reference, or that it is not to be scored. A line for each segment."""
    needs_words = True
    header: tuple[bytes, ...] = (b"", b"")

    def lines(self, row: Transcript) -> tuple[bytes, bytes]:
        segments = spoken((row,))
        channels = sorted({segment.channel for segment in segments}) or [row.channel or 0]
        return (
            b"".join(sorted(_references(row, channels))),
            b"".join(
                _line(
                    row,
                    segment.channel,
                    speaker(row) if len(channels) == 1 else channel_name(row.id, segment.channel),
                    (segment.start_s, segment.stop_s),
                    [word.text for word in segment.words],
                )
                for segment in sorted(segments, key=lambda segment: channel_number(segment.channel))
            ),
        )

    def place(self, row: Transcript) -> bytes:
        return name(row.id).encode()


def _references(row: Transcript, channels: list[int]) -> Iterator[bytes]:
    """The reference is of all channels together: where several have words, it is that of none of them."""
    span = (row.offset_s, row.offset_s + row.duration_s)
    if len(channels) == 1 and row.reference and row.reference.split():
        yield _line(row, channels[0], speaker(row), span, row.reference.split())
    else:
        for channel in channels:
            yield line(*_begin(row, channel, speaker(row), span), IGNORED)


def _line(row: Transcript, channel: int, who: str, span: tuple[float, float], words: Iterable[str]) -> bytes:
    return line(*_begin(row, channel, who, span), *map(scored_word, words))


def _begin(row: Transcript, channel: int, who: str, span: tuple[float, float]) -> tuple[str, str, str, str, str]:
    start = milliseconds(span[0])
    stop = max(start + 1, milliseconds(span[1]))
    return name(row.id), channel_number(channel), who, seconds(start), seconds(stop)

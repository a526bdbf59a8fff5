"""Audacity's labels: a line for each segment, for File > Import > Labels. Pure."""

from __future__ import annotations

from pipeline.export.formats.fields import channel_number, one_line
from pipeline.export.formats.format import Document, Recording
from pipeline.export.formats.spoken import spoken


class Audacity:
    """`start stop text`, with tabs between. Where several channels have words, their number is before the text: a label
    track has no channels."""

    suffix = ".labels.txt"
    needs_words = True

    def document(self, recording: Recording) -> Document:
        segments = spoken(recording.rows)
        several = len({segment.channel for segment in segments}) > 1
        return Document(
            text="".join(
                f"{segment.start_s:.6f}\t{segment.stop_s:.6f}\t"
                f"{f'{channel_number(segment.channel)}: ' if several else ''}{one_line(segment.text)}\n"
                for segment in segments
            )
        )

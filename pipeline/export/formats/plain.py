"""Plain text: a file for each recording, a sentence or turn a line."""

from __future__ import annotations

from pipeline.export.formats.format import Document, Recording
from pipeline.export.formats.spoken import spoken


class PlainText:
    """Each sentence on a line of its own; of several channels each turn, with its channel before it (`1: `, from 0)."""

    suffix = ".txt"
    needs_words = True

    def document(self, recording: Recording) -> Document:
        segments = spoken(recording.rows)
        several = len({segment.channel for segment in segments}) > 1
        lines = [f"{segment.channel}: {segment.text}" if several else segment.text for segment in segments]
        return Document(text="".join(f"{line}\n" for line in lines))

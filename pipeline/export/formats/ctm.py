"""CTM: a line for each word, with its time, for NIST's sclite and tools like it. Pure.

A row is a recording of its own here, named by its id: rows of one recording may overlap, and a path is not what
references are named by. Times are on the recording's clock all the same.
"""

from __future__ import annotations

from pipeline.export.formats.fields import by_channel, channel_number, line, milliseconds, name, seconds
from pipeline.export.formats.sclite import scored_word
from pipeline.model import Transcript


class Ctm:
    """`name channel start duration word`, sorted by name and channel, in the order of bytes, and start."""

    files: tuple[str, ...] = ("transcripts.ctm",)
    needs_words = True
    header: tuple[bytes, ...] = (b"",)

    def lines(self, row: Transcript) -> tuple[bytes]:
        recording = name(row.id)
        found = []
        for channel, words in by_channel(row).items():
            for word in words:
                start, stop = milliseconds(word.start_s), milliseconds(word.stop_s)
                fields = (seconds(start), seconds(stop - start), scored_word(word.text))
                found.append(line(recording, channel_number(channel), *fields))
        return (b"".join(found),)

    def place(self, row: Transcript) -> bytes:
        return name(row.id).encode()

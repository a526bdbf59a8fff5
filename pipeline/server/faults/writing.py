"""Faults in how the stream is written: cut off, slow, with broken or endless lines, odd line ends or odd chunks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec

from pipeline.server.answer import Script
from pipeline.server.faults.fault import Fault, Natural, Positive

BOM = b"\xef\xbb\xbf"
PIECE_BYTES = 1 << 20
TEXT_HEAD = b'{"type":"text"'
FOREVER_S = 1e6


class ResetInStream(Fault, tag="reset_in_stream", frozen=True, kw_only=True):
    """RST after the first `after_lines` lines of the stream."""

    after_lines: Positive = 2

    def script(self, lines: list[bytes]) -> Script:
        return Script(chunks=lines[: self.after_lines], ending="reset")


class Cut(Fault, tag="cut", frozen=True, kw_only=True):
    """The connection closes after `at_byte` bytes of the stream, without the end of the chunked body."""

    at_byte: Natural

    def script(self, lines: list[bytes]) -> Script:
        left = b"".join(lines)[: self.at_byte]
        return Script(chunks=[left] if left else [], ending="cut")


class Drip(Fault, tag="drip", frozen=True, kw_only=True):
    """The answer comes `chunk_bytes` at a time, one piece each `interval_s` seconds; it is whole in the end."""

    answer_is_whole = True

    interval_s: Annotated[float, msgspec.Meta(ge=0)] = 0.1
    chunk_bytes: Positive = 1

    def script(self, lines: list[bytes]) -> Script:
        stream = b"".join(lines)
        pieces = [stream[at : at + self.chunk_bytes] for at in range(0, len(stream), self.chunk_bytes)]
        return Script(chunks=pieces, pause_s=self.interval_s)


class MalformedLine(Fault, tag="malformed_line", frozen=True, kw_only=True):
    """One line in mid-stream is half a JSON object."""

    def script(self, lines: list[bytes]) -> Script:
        middle = (len(lines) + 1) // 2
        return Script(chunks=[*lines[:middle], b'{"type":"text","text":"hal\n', *lines[middle:]])


class InvalidUtf8(Fault, tag="invalid_utf8", frozen=True, kw_only=True):
    """One word in mid-stream ends in a byte that is no UTF-8; an answer without words is as it was."""

    answer_is_whole = True  # but for that character

    def script(self, lines: list[bytes]) -> Script:
        texts = [at for at, line in enumerate(lines) if line.startswith(TEXT_HEAD)]
        changed = list(lines)
        for at in texts[len(texts) // 2 :][:1]:
            changed[at] = lines[at].replace(b'","start_s"', b'\xff","start_s"')
        return Script(chunks=changed)


class LongLine(Fault, tag="long_line", frozen=True, kw_only=True):
    """A line of `size_bytes` comes after the first line, then the rest of the stream."""

    size_bytes: Annotated[int, msgspec.Meta(ge=100)] = 100_000_000

    def script(self, lines: list[bytes]) -> Script:
        return Script(chunks=self._chunks(lines))

    def _chunks(self, lines: list[bytes]) -> Iterator[bytes]:
        head, tail = b'{"type":"text","start_s":1.0,"text":"', b'"}\n'
        yield from lines[:1]
        yield head
        left = self.size_bytes - len(head) - len(tail)
        piece = b"a" * PIECE_BYTES
        while left > 0:
            yield piece[:left]
            left -= PIECE_BYTES
        yield tail
        yield from lines[1:]


class OpenEnd(Fault, tag="open_end", frozen=True, kw_only=True):
    """The whole stream up to `end_of_stream`, and then the body does not end."""

    answer_is_whole = True

    def script(self, lines: list[bytes]) -> Script:
        return Script(chunks=[b"".join(lines), b"\n"], pause_s=FOREVER_S)


class UntidyLines(Fault, tag="untidy_lines", frozen=True, kw_only=True):
    """A BOM in front, CRLF at each line's end, blank lines between, no newline at the very end."""

    answer_is_whole = True

    def script(self, lines: list[bytes]) -> Script:
        untidy = [line.rstrip(b"\n") + b"\r\n\r\n" for line in lines]
        return Script(chunks=[BOM, *untidy[:-1], *(line.rstrip(b"\r\n") for line in untidy[-1:])])


class OddChunks(Fault, tag="odd_chunks", frozen=True, kw_only=True):
    """Chunks end at odd places: each UTF-8 character of more than one byte is cut in two, lines run together.

    The words of `fingerprint` have such characters.
    """

    answer_is_whole = True

    def script(self, lines: list[bytes]) -> Script:
        stream = b"".join(lines)
        # a byte 10xxxxxx continues a character: a chunk that starts there starts inside it
        cuts = [at for at, byte in enumerate(stream) if byte & 0xC0 == 0x80 or at % 37 == 36]
        return Script(
            chunks=[
                stream[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True) if start < stop
            ]
        )


class UnknownTypes(Fault, tag="unknown_types", frozen=True, kw_only=True):
    """Messages of types that no client knows come between the others, and known ones have new fields."""

    answer_is_whole = True

    def script(self, lines: list[bytes]) -> Script:
        unknown = b'{"type":"speaker_change","speaker":2,"at_s":0.5}\n'
        extended = [line[:-2] + b',"new_field":{"a":[1]}}\n' for line in lines]
        return Script(chunks=[line for each in extended for line in (each, unknown)])

"""Faults in how the stream is written: broken lines, odd line ends, endless lines, chunks cut anywhere."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.server.answer import Script
from pipeline.server.faults.fault import Fault, Line, check

BOM = b"\xef\xbb\xbf"
PIECE_BYTES = 1 << 20
TEXT_HEAD = b'{"type":"text"'
FOR_EVER_S = 1e6


def broken(lines: list[bytes], line: bytes) -> Script:
    """Returns the stream with one more line in its middle."""
    middle = (len(lines) + 1) // 2
    return Script(chunks=[*lines[:middle], line, *lines[middle:]])


class MalformedLine(Fault, tag="malformed_line", frozen=True, kw_only=True):
    """One line in mid-stream is half a JSON object."""

    def script(self, lines: list[bytes]) -> Script:
        return broken(lines, b'{"type":"text","text":"hal\n')


class InvalidUtf8(Fault, tag="invalid_utf8", frozen=True, kw_only=True):
    """One word in mid-stream ends in a byte that is no UTF-8; an answer without words is as it was."""

    honest = True  # but for that character

    def script(self, lines: list[bytes]) -> Script:
        texts = [at for at, line in enumerate(lines) if line.startswith(TEXT_HEAD)]
        spoilt = list(lines)
        for at in texts[len(texts) // 2 :][:1]:
            spoilt[at] = lines[at].replace(b'","start_s"', b'\xff","start_s"')
        return Script(chunks=spoilt)


class LongLine(Fault, tag="long_line", frozen=True, kw_only=True):
    """A line of `size_bytes` comes after the first line, then the rest of the stream."""

    size_bytes: int = 100_000_000

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.size_bytes >= 100, "size_bytes is 100 or more")

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

    honest = True

    def script(self, lines: list[bytes]) -> Script:
        return Script(chunks=[b"".join(lines), b"\n"], pause_s=FOR_EVER_S)


class Empty200(Fault, tag="empty_200", frozen=True, kw_only=True):
    """Status 200 and not one byte."""

    async def before(self, line: Line) -> Script:
        return Script(chunks=[])


class UntidyLines(Fault, tag="untidy_lines", frozen=True, kw_only=True):
    """A BOM in front, CRLF at each line's end, blank lines between, no newline at the very end."""

    honest = True

    def script(self, lines: list[bytes]) -> Script:
        untidy = [line.rstrip(b"\n") + b"\r\n\r\n" for line in lines]
        return Script(chunks=[BOM, *untidy[:-1], *(line.rstrip(b"\r\n") for line in untidy[-1:])])


class OddChunks(Fault, tag="odd_chunks", frozen=True, kw_only=True):
    """Chunks end at odd places: each UTF-8 character of more than one byte is cut in two, lines run together.

    The words of `fingerprint` have such characters.
    """

    honest = True

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
    """Messages of types that nobody knows yet come between the others, and known ones have new fields."""

    honest = True

    def script(self, lines: list[bytes]) -> Script:
        news = b'{"type":"speaker_change","speaker":2,"at_s":0.5}\n'
        grown = [line[:-2] + b',"new_field":{"a":[1]}}\n' for line in lines]
        return Script(chunks=[line for each in grown for line in (each, news)])

"""Decodes newline-delimited JSON as it arrives: bytes in any chunks in, typed messages out, within limits.

Pure: no I/O. Whatever is wrong with a stream is raised as StreamMalformed.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator

import msgspec

from pipeline.built import built
from pipeline.errors import StreamMalformed
from pipeline.gradium import wire
from pipeline.texts import presentable

MAX_LINE_BYTES = 1 << 20
MAX_ANSWER_BYTES = 64 << 20
"""For any audio; a caller that knows the audio's length sets a lower limit."""
MAX_LINES = 1 << 18
"""3,000 s of audio with telemetry have fewer than 100,000. Each line costs time, also a blank one."""

MAX_SHOWN = 200
"""Characters of a malformed line that its error quotes."""
REPLACEMENT = "\ufffd"
BOM = b"\xef\xbb\xbf"
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises: for a wrong type or syntax, for bytes that are not UTF-8, for too deep nesting."""


@built
class _Kind(msgspec.Struct):
    type: str


_message: msgspec.json.Decoder[wire.AnyMessage] = msgspec.json.Decoder(wire.AnyMessage)
_kind = msgspec.json.Decoder(_Kind)
_end = re.compile(rb'\s*\{\s*"type"\s*:\s*"end_of_stream"\s*\}')
"""The stream ends with its closing brace, whether or not a newline follows."""
_MAX_END_BYTES = 100
_escape = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
"""Any escape; its group matches half of a surrogate pair without the other half, which is not a character."""
_known_types = frozenset(struct.__struct_config__.tag for struct in typing.get_args(wire.AnyMessage))


class MessageDecoder:
    """Decodes chunks into messages, and drops those of unknown types.

    Messages are yielded one by one, so that those before a malformed line count wherever the chunks were cut.
    """

    def __init__(self, max_bytes: int = MAX_ANSWER_BYTES) -> None:
        """`max_bytes` limits the whole answer."""
        self._max_bytes = max_bytes
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._total_bytes = 0
        self._lines = 0
        self._started = False
        self.replaced = False
        """Whether something in a `text` was not a character and became U+FFFD."""
        self.dropped = False
        """Whether a message of an unknown type was dropped."""

    def feed(self, chunk: bytes) -> Iterator[wire.AnyMessage]:
        """Yields the messages whose line ends in `chunk`. Raises StreamMalformed."""
        self._total_bytes += len(chunk)
        if self._total_bytes > self._max_bytes:
            raise StreamMalformed(f"the answer is larger than the {self._max_bytes:,} bytes that its audio may give")
        end = chunk.rfind(b"\n") + 1
        if end:
            block = b"".join([*self._pending, chunk[:end]])
            self._pending, self._pending_bytes = [], 0
            yield from self._decode(block)
        if tail := chunk[end:]:
            self._pending.append(tail)
            self._pending_bytes += len(tail)
            _check_length(self._pending_bytes)
            if self._pending_bytes < _MAX_END_BYTES and _end.match(self._without_bom(b"".join(self._pending))):
                self._pending, self._pending_bytes = [], 0
                yield wire.EndOfStream()

    def close(self) -> Iterator[wire.AnyMessage]:
        """Yields the message of a last line without a newline. Call it only when the stream ended cleanly."""
        block = b"".join(self._pending)
        self._pending = []
        yield from self._decode(block)

    def _decode(self, block: bytes) -> Iterator[wire.AnyMessage]:
        block = self._without_bom(block)
        if not block:
            return
        self._started = True
        for line in block.removesuffix(b"\n").split(b"\n"):
            _check_length(len(line))
            self._lines += 1
            if self._lines > MAX_LINES:
                raise StreamMalformed(f"the answer has more than {MAX_LINES:,} lines")
            if (message := self._decode_line(line)) is not None:
                yield message

    def _without_bom(self, block: bytes) -> bytes:
        return block if self._started else block.removeprefix(BOM)

    def _decode_line(self, line: bytes) -> wire.AnyMessage | None:
        line = line.strip()
        if not line:
            return None
        if _end.match(line):
            return wire.EndOfStream()
        try:
            return _message.decode(line)
        except UNREADABLE as error:
            reason = str(error)
        if _is_unknown(line) or _is_unknown(repaired := _repaired(line)):
            self.dropped = True
            return None
        try:
            message = _message.decode(repaired)
        except UNREADABLE:
            shown = presentable(line.decode("utf-8", "replace"), limit=MAX_SHOWN)
            raise StreamMalformed(f"not a message of the protocol: {reason}: {shown}") from None
        self.replaced |= isinstance(message, wire.Text) and REPLACEMENT in message.text
        return message


def _check_length(line_bytes: int) -> None:
    if line_bytes > MAX_LINE_BYTES:
        raise StreamMalformed(f"a line of the answer is longer than {MAX_LINE_BYTES >> 20} MB")


def _repaired(line: bytes) -> bytes:
    """The line with U+FFFD in place of bytes that are not UTF-8 and of half surrogate pairs."""
    text = line.decode("utf-8", "replace").encode()
    return _escape.sub(lambda found: rb"\ufffd" if found[1] else found[0], text)


def _is_unknown(line: bytes) -> bool:
    """Whether the line is a message of a type that is not known here."""
    try:
        return _kind.decode(line).type not in _known_types
    except UNREADABLE:
        return False

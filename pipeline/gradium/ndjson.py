"""Newline-delimited JSON, as it arrives: bytes in any chunks in, typed messages out, within bounds.

Pure: no I/O. Every way in which a stream can be no NDJSON of the protocol ends as StreamMalformed.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator

import msgspec

from pipeline.errors import StreamMalformed
from pipeline.gradium import wire

MAX_LINE_BYTES = 1 << 20
MAX_ANSWER_BYTES = 64 << 20
"""A 300 s answer with telemetry is under 2 MB."""

BOM = b"\xef\xbb\xbf"
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not what was expected: wrong, no UTF-8, nested too deeply."""


class _Kind(msgspec.Struct):
    type: str


_message: msgspec.json.Decoder[wire.AnyMessage] = msgspec.json.Decoder(wire.AnyMessage)
_kind = msgspec.json.Decoder(_Kind)
_known_types = frozenset(struct.__struct_config__.tag for struct in typing.get_args(wire.AnyMessage))


class MessageDecoder:
    """Feed it chunks; it yields the messages that are complete, and drops types it does not know.

    Messages come one by one, so that what stands before a broken line is heard however the chunks were cut.
    """

    def __init__(self) -> None:
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._total_bytes = 0
        self._started = False

    def feed(self, chunk: bytes) -> Iterator[wire.AnyMessage]:
        """Messages whose line ends in `chunk`. Raises StreamMalformed."""
        self._total_bytes += len(chunk)
        if self._total_bytes > MAX_ANSWER_BYTES:
            raise StreamMalformed(f"the answer is larger than {MAX_ANSWER_BYTES >> 20} MB", billed="maybe")
        end = chunk.rfind(b"\n") + 1
        if end:
            block = b"".join([*self._pending, chunk[:end]])
            self._pending, self._pending_bytes = [], 0
            yield from self._decode(block)
        if tail := chunk[end:]:
            self._pending.append(tail)
            self._pending_bytes += len(tail)
            _check_length(self._pending_bytes)

    def close(self) -> Iterator[wire.AnyMessage]:
        """The message of a last line without its newline. Call it only when the stream ended cleanly."""
        block = b"".join(self._pending)
        self._pending = []
        yield from self._decode(block)

    def _decode(self, block: bytes) -> Iterator[wire.AnyMessage]:
        if not self._started and block:
            self._started = True
            block = block.removeprefix(BOM)
        try:
            messages = _message.decode_lines(block) if len(block) <= MAX_LINE_BYTES else None
        except UNREADABLE:
            messages = None
        lines = block.count(b"\n") + (not block.endswith(b"\n"))
        if messages is not None and len(messages) == lines:
            yield from messages
            return
        # A blank line, a type we do not know, or a broken line: only a line by itself can tell.
        for line in block.split(b"\n"):
            _check_length(len(line))
            if (message := _decode_line(line)) is not None:
                yield message


def _check_length(line_bytes: int) -> None:
    if line_bytes > MAX_LINE_BYTES:
        raise StreamMalformed(f"a line of the answer is longer than {MAX_LINE_BYTES >> 20} MB", billed="maybe")


def _decode_line(line: bytes) -> wire.AnyMessage | None:
    line = line.strip()
    if not line:
        return None
    try:
        return _message.decode(line)
    except UNREADABLE as error:
        try:
            kind: str | None = _kind.decode(line).type
        except UNREADABLE:
            kind = None
        if kind is None or kind in _known_types:
            shown = line[:200].decode("utf-8", "replace")
            raise StreamMalformed(f"not a message of the protocol: {error}: {shown}", billed="maybe") from None
        return None

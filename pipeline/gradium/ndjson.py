"""Newline-delimited JSON, as it arrives: bytes in any chunks in, typed messages out, within bounds.

Pure: no I/O. Every way in which a stream can be no NDJSON of the protocol ends as StreamMalformed.
"""

from __future__ import annotations

import typing

import msgspec

from pipeline.errors import StreamMalformed
from pipeline.gradium import wire

MAX_LINE_BYTES = 1 << 20
MAX_ANSWER_BYTES = 64 << 20
"""A 300 s answer with telemetry is under 2 MB."""

BOM = b"\xef\xbb\xbf"


class _Kind(msgspec.Struct):
    type: str


_message: msgspec.json.Decoder[wire.AnyMessage] = msgspec.json.Decoder(wire.AnyMessage)
_kind = msgspec.json.Decoder(_Kind)
_known_types = frozenset(struct.__struct_config__.tag for struct in typing.get_args(wire.AnyMessage))


class MessageDecoder:
    """Feed it chunks; it returns the messages that are complete, and drops types it does not know."""

    def __init__(self) -> None:
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._total_bytes = 0
        self._started = False

    def feed(self, chunk: bytes) -> list[wire.AnyMessage]:
        """Messages whose line ends in `chunk`. Raises StreamMalformed."""
        self._total_bytes += len(chunk)
        if self._total_bytes > MAX_ANSWER_BYTES:
            raise StreamMalformed(f"the answer is larger than {MAX_ANSWER_BYTES >> 20} MB", billed="maybe")
        end = chunk.rfind(b"\n") + 1
        if end == 0:
            self._keep(chunk)
            return []
        block = b"".join([*self._pending, chunk[:end]])
        self._pending, self._pending_bytes = [], 0
        self._keep(chunk[end:])
        return self._decode(block)

    def close(self) -> list[wire.AnyMessage]:
        """The messages of a last line without its newline. Call it only when the stream ended cleanly."""
        block = b"".join(self._pending)
        self._pending = []
        return self._decode(block)

    def _keep(self, tail: bytes) -> None:
        self._pending_bytes += len(tail)
        if self._pending_bytes > MAX_LINE_BYTES:
            raise StreamMalformed(f"a line of the answer is longer than {MAX_LINE_BYTES >> 20} MB", billed="maybe")
        if tail:
            self._pending.append(tail)

    def _decode(self, block: bytes) -> list[wire.AnyMessage]:
        if not self._started and block:
            self._started = True
            block = block.removeprefix(BOM)
        try:
            return _message.decode_lines(block)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # Either a type we do not know, which is fine, or a broken line: only a line by itself can tell.
            return [message for line in block.split(b"\n") if (message := _decode_line(line)) is not None]


def _decode_line(line: bytes) -> wire.AnyMessage | None:
    line = line.strip()
    if not line:
        return None
    try:
        return _message.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        try:
            kind: str | None = _kind.decode(line).type
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            kind = None
        if kind is None or kind in _known_types:
            shown = line[:200].decode("utf-8", "replace")
            raise StreamMalformed(f"not a message of the protocol: {error}: {shown}", billed="maybe") from None
        return None

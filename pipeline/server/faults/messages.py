"""Faults in the stream's messages: duplicated, missing or wrong ones, or an error among them."""

from __future__ import annotations

import msgspec

from pipeline.gradium import wire
from pipeline.server.faults.fault import Fault, Natural


class StreamError(Fault, tag="stream_error", frozen=True, kw_only=True):
    """An `error` message after `after_words` words, and nothing after it; the body ends cleanly."""

    message: str = "internal error"
    code: int | None = wire.CODE_INTERNAL
    after_words: Natural = 1

    def messages(self, stream: list[wire.Message]) -> list[wire.Message]:
        ends = [at for at, message in enumerate(stream) if isinstance(message, wire.Text | wire.EndOfStream)]
        return [*stream[: ends[: self.after_words + 1][-1]], wire.Error(message=self.message, code=self.code)]


class DuplicateMessages(Fault, tag="duplicate_messages", frozen=True, kw_only=True):
    """Every message comes twice."""

    answer_is_whole = True

    def messages(self, stream: list[wire.Message]) -> list[wire.Message]:
        return [message for message in stream for _ in range(2)]


class NoEndText(Fault, tag="no_end_text", frozen=True, kw_only=True):
    """No `end_text` at all, or with `last_only` none for the last word."""

    answer_is_whole = True

    last_only: bool = False

    def messages(self, stream: list[wire.Message]) -> list[wire.Message]:
        ends = [at for at, message in enumerate(stream) if isinstance(message, wire.EndText)]
        missing = set(ends[-1:] if self.last_only else ends)
        return [message for at, message in enumerate(stream) if at not in missing]


class NoStopS(Fault, tag="no_stop_s", frozen=True, kw_only=True):
    """Each `end_text` comes without its `stop_s`."""

    answer_is_whole = True

    def messages(self, stream: list[wire.Message]) -> list[wire.Message]:
        return [
            wire.EndText(stream_id=message.stream_id) if isinstance(message, wire.EndText) else message
            for message in stream
        ]


class TimesBackwards(Fault, tag="times_backwards", frozen=True, kw_only=True):
    """Every second word starts and stops `by_s` seconds too early."""

    answer_is_whole = True

    by_s: float = 5.0

    def messages(self, stream: list[wire.Message]) -> list[wire.Message]:
        changed = []
        words = 0
        for message in stream:
            words += isinstance(message, wire.Text)
            changed.append(message if words % 2 else _shifted(message, -self.by_s))
        return changed


class OtherDelay(Fault, tag="other_delay", frozen=True, kw_only=True):
    """`ready` reports this delay, and the times are late by it, whatever was asked for."""

    answer_is_whole = True

    delay_in_frames: int

    def messages(self, stream: list[wire.Message]) -> list[wire.Message]:
        ready = next(message for message in stream if isinstance(message, wire.Ready))
        extra_s = (self.delay_in_frames - (ready.delay_in_frames or 0)) * wire.FRAME_S
        stream = [_shifted(message, extra_s) for message in stream]
        return [
            msgspec.structs.replace(message, delay_in_frames=self.delay_in_frames) if message is ready else message
            for message in stream
        ]


class NoReady(Fault, tag="no_ready", frozen=True, kw_only=True):
    """The stream begins without `ready`."""

    answer_is_whole = True

    def messages(self, stream: list[wire.Message]) -> list[wire.Message]:
        return [message for message in stream if not isinstance(message, wire.Ready)]


class NoEndOfStream(Fault, tag="no_end_of_stream", frozen=True, kw_only=True):
    """The stream ends cleanly, without `end_of_stream`."""

    answer_is_whole = True

    def messages(self, stream: list[wire.Message]) -> list[wire.Message]:
        return [message for message in stream if not isinstance(message, wire.EndOfStream)]


def _shifted(message: wire.Message, by_s: float) -> wire.Message:
    match message:
        case wire.Text(start_s=start_s):
            return msgspec.structs.replace(message, start_s=round(start_s + by_s, 3))
        case wire.EndText(stop_s=float(stop_s)):
            return msgspec.structs.replace(message, stop_s=round(stop_s + by_s, 3))
    return message

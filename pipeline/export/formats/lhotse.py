"""Lhotse's recordings and supervisions, as its RecordingSet and SupervisionSet read them. Pure; needs no lhotse.

Each row has a recording of its own, named by its id, which is as long as the row needs: how long a recording is that a
row is a span of, no row tells. Times are on the recording's clock.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import msgspec

from pipeline.export.formats.fields import by_channel
from pipeline.export.formats.spoken import SpokenWord
from pipeline.model import Transcript
from pipeline.source.addresses import scheme_of

_LIKE_A_CHANNEL = re.compile(r"-channel\d+$")
_DIGITS = 6


class _Source(msgspec.Struct, frozen=True, kw_only=True):
    type: Literal["file", "url"]
    channels: list[int]
    source: str


class _Recording(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    sources: list[_Source]
    sampling_rate: int
    num_samples: int
    duration: float


class _Supervision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    id: str
    recording_id: str
    start: float
    duration: float
    channel: int | list[int]
    text: str
    language: str | None = None
    speaker: str | None = None
    custom: dict[str, str | float]
    """No objects in it: lhotse makes arrays and recordings of those that look like one."""
    alignment: dict[str, list[tuple[str, float, float]]]


class Lhotse:
    """A recording and a supervision for each row; where several channels have words, a supervision for each of them.

    A row without `sample_rate`, which a version before 0.2 wrote, has none: lhotse refuses a recording without one.
    """

    files: tuple[str, ...] = ("recordings.jsonl.gz", "supervisions.jsonl.gz")
    needs_words = True
    header: tuple[bytes, ...] = (b"", b"")

    def __init__(self) -> None:
        self._encode = msgspec.json.Encoder().encode

    def lines(self, row: Transcript) -> tuple[bytes, bytes]:
        if not row.sample_rate or row.duration_s <= 0:
            return b"", b""
        words = by_channel(row)
        samples = round((row.offset_s + row.duration_s) * row.sample_rate)
        channels = max(row.channels or 1, *(channel + 1 for channel in [row.channel or 0, *words]))
        kind: Literal["file", "url"] = "url" if scheme_of(row.audio) else "file"
        recording = _Recording(
            id=row.id,
            sources=[_Source(type=kind, channels=[*range(channels)], source=row.audio)],
            sampling_rate=row.sample_rate,
            num_samples=samples,
            duration=samples / row.sample_rate,
        )
        if len(words) > 1:
            found = [
                _supervision(row, _channel_id(row.id, channel), channel, " ".join(word.text for word in own), own)
                for channel, own in words.items()
            ]
        else:
            [(channel, own)] = words.items() or [(row.channel or 0, [])]
            id_ = _channel_id(row.id, channel) if _LIKE_A_CHANNEL.search(row.id) else row.id
            # what is said in a mix is on channel 0, and of all channels of the recording
            mixed = channels > 1 and row.channel is None and channel == 0
            found = [_supervision(row, id_, [*range(channels)] if mixed else channel, row.text, own)]
        return self._encode(recording) + b"\n", b"".join(self._encode(one) + b"\n" for one in found)

    def place(self, row: Transcript) -> None:
        return None


def _channel_id(id_: str, channel: int) -> str:
    """The id of the supervision of one channel; also of a row whose id looks like one, so that no two are equal."""
    return f"{id_}-channel{channel + 1}"


def _supervision(
    row: Transcript, id_: str, channel: int | list[int], text: str, words: Sequence[SpokenWord]
) -> _Supervision:
    custom: dict[str, str | float] = {**row.metadata, "status": row.status}
    if row.reference is not None:
        custom["reference"] = row.reference
    if row.wer is not None:
        custom["wer"] = row.wer
    aligned = [(word.text, word.start_s, round(word.stop_s - word.start_s, _DIGITS)) for word in words]
    return _Supervision(
        id=id_,
        recording_id=row.id,
        start=row.offset_s,
        duration=row.duration_s,
        channel=channel,
        text=text,
        language=None if row.language == "any" else row.language,
        speaker=row.metadata.get("speaker") or None,
        custom=custom,
        alignment={"word": aligned},
    )

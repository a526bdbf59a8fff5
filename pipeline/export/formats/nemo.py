"""NeMo's manifest: a JSON object for each row. Pure."""

from __future__ import annotations

import msgspec

from pipeline.model import Transcript


class _Line(msgspec.Struct, frozen=True, omit_defaults=True):
    audio_filepath: str
    offset: float
    duration: float
    text: str | msgspec.UnsetType
    pred_text: str
    id: str
    lang: str | None = None
    channel: int | None = None


class Nemo:
    """`text` is the reference, and absent where there is none; `pred_text` is the transcript. A transcript is never
    `text`: tools would compute an error rate of 0 from it."""

    files: tuple[str, ...] = ("manifest.jsonl",)
    needs_words = False
    header: tuple[bytes, ...] = (b"",)

    def __init__(self) -> None:
        self._encode = msgspec.json.Encoder().encode

    def lines(self, row: Transcript) -> tuple[bytes]:
        lang = None if row.language == "any" else row.language
        text = msgspec.UNSET if row.reference is None else row.reference
        line = _Line(row.audio, row.offset_s, row.duration_s, text, row.text, row.id, lang, row.channel)
        return (self._encode(line) + b"\n",)

    def place(self, row: Transcript) -> None:
        return None

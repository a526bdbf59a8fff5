"""Kaldi's data directory, as its `utils/validate_data_dir.sh` wants it. Pure.

Each row is a recording of its own in `wav.scp`, and a span of it in `segments`: so its lines depend on nothing but the
row. Nothing is quoted for the shell, which reads the commands of `wav.scp`: a path that would need it is left out.
"""

from __future__ import annotations

import re

from pipeline.export.formats.fields import by_channel, channel_name, joined, line, name, plain
from pipeline.model import Transcript

_PLAIN_WAV = re.compile(r"(?:[a-z0-9]+:/)?/[^|\x00-\x1f\x7f-\x9f\u2028\u2029]*\.wav", re.IGNORECASE)
"""What Kaldi opens as a file, and not as a command, an offset or a part of an archive; or the address of one, which is
for the user to copy."""
_INERT = re.compile(r"(?:[a-z0-9]+:/)?/[\w./+,:@=-]+")
"""What no shell takes for anything else than the word that it is."""
_SYMBOLS = (("<", "\uff1c"), (">", "\uff1e"), ("#0", "\uff030"))
"""Of Kaldi's own symbols, `<s>`, `</s>` and `#0`: in words their full-width forms, which NFKC turns back."""


class Kaldi:
    """An utterance for each row, or for each channel with words where several have some; named by the id, with the
    utterance as its speaker, as Kaldi has it where nothing is known about speakers.

    Left out are rows without words, and rows whose recording needs a command (several channels, or no WAV) and has a
    path with blanks or other characters of the shell in it.
    """

    files: tuple[str, ...] = ("wav.scp", "segments", "text", "utt2spk", "spk2utt", "utt2dur")
    needs_words = True
    header: tuple[bytes, ...] = (b"",) * 6

    def lines(self, row: Transcript) -> tuple[bytes, ...]:
        words = by_channel(row)
        found: list[tuple[bytes, ...]] = []
        for channel, own in words.items():
            key = name(row.id) if len(words) == 1 else channel_name(row.id, channel)
            # words of a mix are on channel 0 as well
            wanted = channel if len(words) > 1 or row.channel is not None or channel else None
            if (source := _source(row, wanted)) is None or row.duration_s <= 0:
                continue
            found.append(
                (
                    line(key, source),
                    line(key, key, plain(row.offset_s), plain(row.offset_s + row.duration_s)),
                    line(key, _without_symbols(joined(own))),
                    line(key, key),
                    line(key, key),
                    line(key, plain(row.duration_s)),
                )
            )
        return tuple(map(b"".join, zip(*found, strict=True))) if found else (b"",) * len(self.files)

    def place(self, row: Transcript) -> bytes:
        """Where its first utterance is: the names of several channels are behind that of the row alone."""
        channels = {word.channel for word in row.words} if row.channel is None else ()
        if len(channels) < 2:
            return name(row.id).encode()
        return min(channel_name(row.id, channel) for channel in channels).encode()


def _source(row: Transcript, channel: int | None) -> str | None:
    """Where one channel of the recording is read from, or the mix of all; None where a shell might misunderstand it."""
    several = (row.channels or 1) > 1 or bool(channel)
    if not several and _PLAIN_WAV.fullmatch(row.audio):
        return row.audio
    if not _INERT.fullmatch(row.audio):
        return None
    picked = f"-af pan=mono\\|c0=c{channel}" if several and channel is not None else "-ac 1"
    return f"ffmpeg -nostdin -v error -i {row.audio} {picked} -f wav -c:a pcm_s16le - |"


def _without_symbols(text: str) -> str:
    for symbol, written in _SYMBOLS:
        text = text.replace(symbol, written)
    return text

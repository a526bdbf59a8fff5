"""Audio that arrives in pieces: the 16-bit mono samples of each, as `audio.py` decodes them from a whole body."""

from __future__ import annotations

import struct
from typing import Protocol

from pipeline.gradium import wire
from pipeline.server.audio import BAD_AUDIO, SAMPLE_BYTES, Sound, bad_audio, decode, decode_pcm, wav_layout
from pipeline.server.refusal import RefusalError

CHUNK_HEADER_BYTES = 8
RIFF_BYTES = 12


class Incoming(Protocol):
    """The audio of one session."""

    def feed(self, piece: bytes) -> Sound | None:
        """Takes a piece that may begin and end anywhere, and returns what is decoded by it; None: nothing yet.

        Raises RefusalError (1008) when it is no such audio.
        """
        ...

    def rest(self, *, at_end: bool) -> Sound | None:
        """Returns what can be decoded only when it is asked for. Raises as `feed`, but only at the end where more could
        make it audio."""
        ...


def incoming(input_format: str, most_s: float) -> Incoming:
    """Returns the decoder of one of `wire.INPUT_FORMATS`, for audio up to `most_s` seconds where it is compressed."""
    match input_format:
        case "wav":
            return Wav()
        case "opus":
            return Opus(most_s)
    return Headerless(input_format)


class Headerless:
    """PCM, or companded samples of one byte."""

    def __init__(self, input_format: str) -> None:
        self._format = input_format
        self._unit = SAMPLE_BYTES if input_format in wire.PCM_RATES else 1
        self._rest = b""

    def feed(self, piece: bytes) -> Sound | None:
        data = self._rest + piece
        whole = len(data) - len(data) % self._unit
        self._rest = data[whole:]
        return decode(data[:whole], self._format) if whole else None

    def rest(self, *, at_end: bool) -> Sound | None:
        return None


class Wav:
    """A WAV whose header may come in pieces, too."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._began = False
        self._layout: tuple[int, int, int] | None = None
        self._skip = 0
        """Bytes of a chunk that is of no interest."""
        self._left: float | None = None
        """Bytes of the data chunk that are to come; None before it."""

    def feed(self, piece: bytes) -> Sound | None:
        self._held += piece
        if self._left is None:
            self._read_header()
        return self._data()

    def rest(self, *, at_end: bool) -> Sound | None:
        """Nothing is held back but a header that is not whole, with which no audio can follow."""
        if at_end and self._left is None:
            raise bad_audio("WAV: no data chunk" if self._began else "WAV: no RIFF/WAVE header")
        return None

    def _read_header(self) -> None:
        held = self._held
        if not self._began:
            if len(held) < RIFF_BYTES:
                return
            if held[:4] != b"RIFF" or held[8:12] != b"WAVE":
                raise bad_audio("WAV: no RIFF/WAVE header")
            del held[:RIFF_BYTES]
            self._began = True
        at = 0
        while self._left is None:
            skipped = min(self._skip, len(held) - at)
            self._skip -= skipped
            at += skipped
            if self._skip or len(held) - at < CHUNK_HEADER_BYTES:
                break
            name, size = struct.unpack_from("<4sI", held, at)
            body = at + CHUNK_HEADER_BYTES
            if name == b"data":
                if self._layout is None:
                    raise bad_audio("WAV: the data comes before its format")
                self._left = size or float("inf")
                at = body
            elif name == b"fmt ":
                if len(held) - body < min(size, 16):
                    break
                self._layout = wav_layout(bytes(held[body : body + min(size, 16)]))
                self._skip, at = size + (size & 1), body
            else:
                self._skip, at = size + (size & 1), body  # chunks are padded to even length
        del held[:at]

    def _data(self) -> Sound | None:
        if self._layout is None or self._left is None:
            return None
        channels, rate, bits = self._layout
        frame = channels * bits // 8
        size = int(min(self._left, len(self._held)))
        size -= size % frame
        data = bytes(self._held[:size])
        self._left -= size
        del self._held[:size]
        if self._left < frame:
            self._held.clear()  # behind the audio
        return decode_pcm(data, channels, rate, bits) if data else None


class Opus:
    """Opus in Ogg, which is decoded as a whole each time that the words so far are asked for."""

    def __init__(self, most_s: float) -> None:
        self._most_s = most_s
        self._body = bytearray()
        self._told = 0
        """Bytes of samples that were returned."""

    def feed(self, piece: bytes) -> Sound | None:
        self._body += piece
        return None

    def rest(self, *, at_end: bool) -> Sound | None:
        try:
            sound = decode(bytes(self._body), "opus", self._most_s)
        except RefusalError as refusal:
            if at_end or refusal.outcome != BAD_AUDIO:
                raise
            return None  # the first pages are not whole
        new = sound.samples[self._told :]
        self._told = len(sound.samples)
        return Sound(new, sound.rate) if new else None

"""Plain WAV decoded: numbers of one size, found by our own chunk reader and turned to floats by libsndfile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import FileIO

import soundfile

from pipeline.audio.blocks import Block, check_shape, cleaned
from pipeline.audio.wav import ALAW, FLOAT, MULAW, PCM, WavFile
from pipeline.errors import AudioUnsupported

_SUBTYPES = {
    (PCM, 8): "PCM_U8",
    (PCM, 16): "PCM_16",
    (PCM, 24): "PCM_24",
    (PCM, 32): "PCM_32",
    (FLOAT, 32): "FLOAT",
    (FLOAT, 64): "DOUBLE",
    (ALAW, 8): "ALAW",
    (MULAW, 8): "ULAW",
}


class _Span:
    """The part of an open file that holds its samples; all of a file that libsndfile gets to see."""

    def __init__(self, file: FileIO, start: int, size: int) -> None:
        self._file, self._start, self._size = file, start, size
        self._place = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        return self._place

    def tell(self) -> int:
        return self._place

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._size - self._place)
        self._file.seek(self._start + self._place)
        found = self._file.read(left if size < 0 else min(size, left)) or b""
        self._place += len(found)
        return found


def wav_blocks(file: FileIO, wav: WavFile) -> Iterator[Block]:
    """The samples of a plain WAV file, block by block.

    Raises AudioUnreadable, AudioUnsupported, OSError or soundfile.SoundFileError.
    """
    check_shape(wav.channels, wav.rate)
    subtype = _SUBTYPES.get((wav.tag, wav.bits))
    if subtype is None:
        raise AudioUnsupported(f"the file is {wav.form}: no decoder here knows this size of sample")
    size = wav.size - wav.size % wav.block
    with soundfile.SoundFile(
        _Span(file, wav.start, size),
        format="RAW",
        subtype=subtype,
        endian="BIG" if wav.order == ">" else "LITTLE",
        samplerate=wav.rate,
        channels=wav.channels,
    ) as sound:
        while True:
            samples = sound.read(wav.rate, dtype="float32", always_2d=True).T
            if not samples.shape[1]:
                return
            yield Block(wav.rate, cleaned(samples) if wav.tag == FLOAT else samples)

"""FLAC decoded by libsndfile, whose decoder is the format's own and checks every frame.

Not by PyAV: its parser takes the short frames of digital silence apart wrongly and loses some of a sound file.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import FileIO

import numpy as np
import soundfile

from pipeline.audio.blocks import Block, Samples
from pipeline.audio.heard import Heard
from pipeline.audio.shapes import check_shape
from pipeline.errors import AudioUnreadable
from pipeline.source.local import fault

MAGIC = b"fLaC"
_UNTOLD = 1 << 40
"""Samples from which on a length is that of a writer that did not know it."""


def flac_blocks(path: str, file: FileIO, size_bytes: int, heard: Heard) -> Iterator[Block]:
    """The samples of an open file, a second at a time.

    Raises AudioUnreadable, AudioUnavailable, and what `Heard` raises where the audio breaks.
    """
    file.seek(0)
    try:
        with soundfile.SoundFile(file) as sound:
            check_shape(sound.channels, sound.samplerate)
            declared_s = sound.frames / sound.samplerate if 0 < sound.frames < _UNTOLD else None
            samples, damaged = _second(sound)
            while samples.shape[1]:
                heard.add(samples.shape[1] / sound.samplerate)
                yield Block(sound.samplerate, samples)
                samples, damaged = (samples[:, :0], True) if damaged else _second(sound)
            # a file that ends before its last frame does, or whose length is not told, looks damaged to the library
            if damaged and file.tell() < size_bytes:
                if heard.seconds:
                    heard.broke("its data is damaged")
                heard.note("its data is damaged")
                declared_s = None
            heard.ended(declared_s, size_bytes)
    except OSError as error:
        raise fault(path, error) from None
    except soundfile.SoundFileError as error:
        raise AudioUnreadable(f"the file is no audio that can be read: {error}") from None


def _second(sound: soundfile.SoundFile) -> tuple[Samples, bool]:
    """The next second, shape (channels, samples), and whether it ends in damage; empty at the end."""
    # the library says of a read that met damage only that it did: what it wrote before tells how far it came
    samples = np.full((sound.samplerate, sound.channels), np.nan, np.float32)
    try:
        return sound.read(out=samples).T, False
    except soundfile.LibsndfileError:
        missing = np.isnan(samples[:, 0])
        return samples[: int(missing.argmax()) if missing.any() else len(samples)].T, True

"""Plain WAV decoded: numbers of one size, read from where our own chunk reader found them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from io import FileIO

import numpy as np
import numpy.typing as npt

from pipeline.audio.blocks import Block, Samples, cleaned
from pipeline.audio.shapes import COMPANDED, NUMBERS, PACKED, check_samples, check_shape
from pipeline.audio.wav import FLOAT, PCM, WavFile


def wav_blocks(file: FileIO, wav: WavFile) -> Iterator[Block]:
    """The samples of a plain WAV file, block by block. Raises AudioUnreadable, AudioUnsupported or OSError."""
    check_shape(wav.channels, wav.rate)
    check_samples(wav)
    kind = (wav.tag, wav.bits)
    table = _table(COMPANDED[kind]) if kind in COMPANDED else None
    file.seek(wav.start)
    left = wav.size - wav.size % wav.block
    while left:
        found = file.read(min(left, wav.rate * wav.block)) or b""
        found = found[: len(found) - len(found) % wav.block]
        if not found:
            return
        left -= len(found)
        flat = table[np.frombuffer(found, dtype=np.uint8)] if table is not None else _floats(found, kind, wav.order)
        yield Block(wav.rate, flat.reshape(-1, wav.channels).T)


def _floats(found: bytes, kind: tuple[int, int], order: str) -> Samples:
    if kind == PACKED:
        wide = np.zeros((len(found) // 3, 4), dtype=np.uint8)
        wide[:, slice(1, 4) if order == "<" else slice(0, 3)] = np.frombuffer(found, dtype=np.uint8).reshape(-1, 3)
        return _scaled(wide.view(order + "i4").ravel(), 32)
    numbers = np.frombuffer(found, dtype=order + NUMBERS[kind])
    if kind[0] == FLOAT:
        with np.errstate(over="ignore"):  # beyond what 32 bits hold: cleaned like everything beyond full scale
            return cleaned(numbers.astype(np.float32))
    scaled = _scaled(numbers, kind[1])
    return scaled - np.float32(1.0) if kind == (PCM, 8) else scaled


def _scaled(numbers: npt.NDArray[np.integer], bits: int) -> Samples:
    scaled: Samples = np.multiply(numbers, np.float32(2.0 ** (1 - bits)), dtype=np.float32)
    return scaled


def _table(subtype: str) -> Samples:
    """The value of each of the 256 codes of A-law or mu-law, by libsndfile's word."""
    import soundfile  # 30 ms to load, for telephone recordings only

    codes = io.BytesIO(bytes(range(256)))
    values: Samples
    values, _ = soundfile.read(codes, dtype="float32", format="RAW", subtype=subtype, samplerate=8_000, channels=1)
    return values

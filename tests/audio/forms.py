"""Makes recordings of one spoken sentence in many forms, with true headers and with headers that lie.

Each maker takes speech (float mono at 24 kHz, one dimension) and returns the bytes of a file.
"""

from __future__ import annotations

import functools
import io
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import soundfile
import soxr

RATE = 24_000
SAMPLE = Path(__file__).parent.parent.parent / "manifests" / "sample"
SENTENCE = "please close the door when you leave the room"

Speech = npt.NDArray[np.float32]
Maker = Callable[[Speech], bytes]


@functools.cache
def sentence() -> Speech:
    """SENTENCE, spoken; the recognizer understands it at 8 kHz too."""
    samples, rate = soundfile.read(SAMPLE / "door-16k.wav", dtype="float32")
    return np.asarray(soxr.resample(samples, rate, RATE))


def at_rate(speech: Speech, rate: int) -> Speech:
    return speech if rate == RATE else np.asarray(soxr.resample(speech, RATE, rate))


def encoded(
    codec: str,
    container: str,
    *,
    rate: int = RATE,
    layout: str = "mono",
    bit_rate: int | None = None,
    options: dict[str, str] | None = None,
    codec_options: dict[str, str] | None = None,
    channels: Callable[[Speech], list[Speech]] | None = None,
) -> Maker:
    """A maker that encodes with PyAV; `channels` spreads the speech over the layout's channels."""

    def make(speech: Speech) -> bytes:
        count = av.AudioLayout(layout).nb_channels
        spread = channels(at_rate(speech, rate)) if channels else [at_rate(speech, rate)] * count
        # a real file: an index that is to stand first is moved there by opening the file again
        with (
            tempfile.NamedTemporaryFile() as file,
            av.open(file.name, "w", format=container, container_options=options or {}) as output,
        ):
            stream = output.add_stream(codec, rate=rate, layout=layout, options=codec_options or {})
            if bit_rate:
                stream.bit_rate = bit_rate
            for place in range(0, len(spread[0]), 4_096):
                block = np.stack([one[place : place + 4_096] for one in spread], axis=1).reshape(1, -1)
                frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="flt", layout=layout)
                frame.sample_rate, frame.pts = rate, place
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
            output.close()
            return Path(file.name).read_bytes()

    return make


def written(container: str, subtype: str, rate: int = RATE, channels: int = 1, endian: str = "FILE") -> Maker:
    """A maker that writes with soundfile."""

    def make(speech: Speech) -> bytes:
        file = io.BytesIO()
        samples = np.repeat(at_rate(speech, rate)[:, None], channels, axis=1)
        soundfile.write(file, samples, rate, subtype, endian, container)
        return file.getvalue()

    return make


def numbers(speech: Speech, bits: int = 16, order: str = "<", *, real: bool = False) -> bytes:
    """Speech as the samples of a WAV file."""
    if real:
        return speech.astype(f"{order}f{bits // 8}").tobytes()
    clipped = np.clip(speech.astype(np.float64), -1, 1 - 2**-23)
    if bits == 8:
        return (clipped * 127 + 128).astype(np.uint8).tobytes()
    if bits == 24:
        wide = (clipped * 2**31).astype(f"{order}i4").view(np.uint8).reshape(-1, 4)
        return (wide[:, 1:] if order == "<" else wide[:, :3]).tobytes()
    return (clipped * 2 ** (bits - 1)).astype(f"{order}i{bits // 8}").tobytes()


def wav(
    data: bytes,
    *,
    tag: int = 1,
    channels: int = 1,
    rate: int = RATE,
    bits: int = 16,
    name: bytes = b"RIFF",
    order: str = "<",
    data_size: int | None = None,
    riff_size: int | None = None,
    before: bytes = b"",
    after: bytes = b"",
    extensible: int | None = None,
    ds64: int | None = None,
) -> bytes:
    """A WAV file, honest unless told otherwise. `extensible`: number of valid bits; `ds64`: the 64-bit data size."""
    block = channels * bits // 8
    fmt = struct.pack(order + "HHIIHH", tag, channels, rate, rate * block, block, bits)
    if extensible is not None:
        guid = struct.pack(order + "H", tag) + bytes.fromhex("000000001000800000aa00389b71")
        fmt = struct.pack(order + "HHIIHH", 0xFFFE, channels, rate, rate * block, block, bits)
        fmt += struct.pack(order + "HHI", 22, extensible, 0) + guid
    size = len(data) if data_size is None else data_size
    body = b"WAVE"
    if ds64 is not None:
        body += struct.pack("<4sIQQQI", b"ds64", 28, ds64 + 80, ds64, 0, 0)
    body += before + struct.pack(order + "4sI", b"fmt ", len(fmt)) + fmt
    body += struct.pack(order + "4sI", b"data", size) + data + after
    return name + struct.pack(order + "I", len(body) if riff_size is None else riff_size) + body


def plain(**settings: Any) -> Maker:
    """A maker of a WAV file by `wav`; the rate, the bits and the order go for the samples too."""
    bits, order, rate = settings.get("bits", 16), settings.get("order", "<"), settings.get("rate", RATE)
    channels, real = settings.get("channels", 1), settings.get("tag") == 3

    def make(speech: Speech) -> bytes:
        spread = np.repeat(at_rate(speech, rate), channels)
        return wav(numbers(spread, bits, order, real=real), **settings)

    return make


def chunk(name: bytes, data: bytes, *, pad: bool = True) -> bytes:
    return struct.pack("<4sI", name, len(data)) + data + (b"\0" if pad and len(data) % 2 else b"")

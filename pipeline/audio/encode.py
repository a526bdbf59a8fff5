"""What is sent of a track: the header that makes a span of it a WAV file, or the span as Ogg-Opus."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import BufferedWriter
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.audio.decoded import BYTES, RATE
from pipeline.audio.tracks import discard
from pipeline.errors import AudioUnavailable, OutputError

_BIT_RATE = 32_000


def wav_header(samples: int) -> bytes:
    """The 44 bytes before `samples` samples of a track."""
    size = samples * BYTES
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", 36 + size, b"WAVE"),
        *(b"fmt ", 16, 1, 1, RATE, RATE * BYTES, BYTES, BYTES * 8),
        *(b"data", size),
    )


def encode_opus(pcm_path: str, start: int, samples: int, lead_samples: int, target: str) -> None:
    """Writes a span of a track to `target` as Ogg-Opus, mono at 24 kHz, with `lead_samples` of silence in front.

    Decoded it has exactly `lead_samples + samples` samples. The same span gives the same bytes.
    Raises OutputError where the target cannot be written, AudioUnavailable where the track cannot be read; no target is
    left then.
    """
    try:
        with Path(target).open("wb") as file:
            _encode(_span(pcm_path, start, samples, lead_samples), file)
    except OSError as error:
        discard(target)
        raise OutputError(
            f"encoded audio cannot be written to {Path(target).parent}: {error.strerror or error}"
        ) from None
    except BaseException:
        discard(target)
        raise


def _span(path: str, start: int, samples: int, lead: int) -> Iterator[npt.NDArray[np.int16]]:
    """The silence and the span, a second at a time."""
    for place in range(0, lead, RATE):
        yield np.zeros(min(RATE, lead - place), dtype=np.int16)
    try:
        with Path(path).open("rb") as file:
            file.seek(start * BYTES)
            for place in range(0, samples, RATE):
                size = min(RATE, samples - place) * BYTES
                found = file.read(size)
                if len(found) < size:
                    raise AudioUnavailable("decoded audio is shorter than it was: it is being written or was cut")
                yield np.frombuffer(found, dtype="<i2")
    except OSError as error:
        raise AudioUnavailable(f"decoded audio cannot be read: {error.strerror or error}") from None


def _encode(blocks: Iterator[npt.NDArray[np.int16]], file: BufferedWriter) -> None:
    import av  # 50 ms to load, and WAV uploads need none of it

    # bitexact: without it each stream gets a number by chance, and the same audio other bytes
    with av.open(file, "w", format="ogg", container_options={"fflags": "bitexact"}) as container:
        stream = container.add_stream("libopus", rate=RATE, layout="mono", options={"application": "voip"})
        stream.bit_rate = _BIT_RATE
        place = 0
        for block in blocks:
            frame = av.AudioFrame.from_ndarray(block.reshape(1, -1), format="s16", layout="mono")
            frame.sample_rate, frame.pts = RATE, place
            place += block.size
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))

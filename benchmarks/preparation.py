"""Preparation speed: `decode()` with writing its track, as a ratio to a bare PyAV loop that decodes and resamples.

The bare loop is what one would write first: every frame through a resampler to 24 kHz mono 16-bit, the samples dropped.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import av
import numpy as np
import soundfile
import soxr

from benchmarks.measuring import keep
from pipeline.audio.decode import decode

SECONDS = int(os.environ.get("SECONDS_EACH", "600"))
RATE = 44_100
ROUNDS = 5
FORMS = {"mp3": ("libmp3lame", "mp3"), "m4a": ("aac", "ipod"), "opus": ("libopus", "ogg")}
SAMPLE = Path(__file__).parent.parent / "manifests" / "sample"


def bare(path: str) -> int:
    """Samples that came out."""
    samples = 0
    with av.open(path) as container:
        resampler = av.AudioResampler("s16", "mono", 24_000)
        for frame in container.decode(audio=0):
            samples += sum(piece.to_ndarray().shape[1] for piece in resampler.resample(frame))
        samples += sum(piece.to_ndarray().shape[1] for piece in resampler.resample(None))
    return samples


def ours(path: str) -> int:
    """The same, with the track written beside the recording."""
    target = f"{path}.{os.getpid()}"
    track = decode(path, target, "mix", allow_truncated=False).tracks[0]
    Path(track.path).unlink()
    return track.samples


def make(folder: Path, seconds: int) -> dict[str, str]:
    """The sample's sentences over and over, stereo at 44.1 kHz (Opus: 48), in each form."""
    speech = []
    for path in sorted(SAMPLE.iterdir()):
        samples, rate = soundfile.read(path, dtype="float32")
        speech.append(soxr.resample(samples, rate, RATE))
    mono = np.resize(np.concatenate(speech), seconds * RATE)
    stereo = np.stack([mono, 0.8 * np.roll(mono, 200)], axis=1)
    files = {"wav": str(folder / "a.wav"), "flac": str(folder / "a.flac")}
    for path in files.values():
        soundfile.write(path, stereo, RATE, "PCM_16")
    for form, (codec, container) in FORMS.items():
        files[form] = str(folder / f"a.{form}")
        _encode(files[form], codec, container, stereo)
    return files


def _encode(path: str, codec: str, form: str, samples: np.ndarray) -> None:
    rate = 48_000 if codec == "libopus" else RATE
    if rate != RATE:
        samples = soxr.resample(samples, RATE, rate)
    with av.open(path, "w", format=form) as container:
        stream = container.add_stream(codec, rate=rate, layout="stereo")
        stream.bit_rate = 96_000
        for place in range(0, len(samples), rate):
            block = np.ascontiguousarray(samples[place : place + rate].T)
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = rate, place
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def seconds(work: object, path: str) -> float:
    started = time.perf_counter()
    work(path)  # type: ignore[operator]
    return time.perf_counter() - started


def main() -> None:
    """Prints a line for each form, and keeps all of them."""
    rows = []
    with (
        tempfile.TemporaryDirectory(prefix="preparation-") as name,
        ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool,
    ):
        files = make(Path(name), SECONDS)
        list(pool.map(ours, [files["wav"], files["flac"]] * 2))  # both processes have loaded everything
        for form, path in files.items():
            ours(path)
            one, two = [], []
            for _ in range(ROUNDS):
                # the three in turn: on a shared machine a slow moment then meets all of them
                plain = seconds(bare, path)
                one.append(plain / seconds(ours, path))
                started = time.perf_counter()
                list(pool.map(ours, [path] * 4))
                two.append(4 * plain / (time.perf_counter() - started))
            row = {"form": form, "bare_x": round(SECONDS / plain), "one": one, "two": two}
            print(
                f"{form:<5} bare loop {row['bare_x']:>5} x real time"
                f"   one process {statistics.median(one):.2f}   two processes {statistics.median(two):.2f}",
                flush=True,
            )
            rows.append(row | {"one": round(statistics.median(one), 2), "two": round(statistics.median(two), 2)})
    keep("preparation", rows)


if __name__ == "__main__":
    main()

"""The recordings and manifests from which the archived outputs were made; the same bytes each time."""

from __future__ import annotations

import random
import wave
from pathlib import Path

RATE = 8_000
SETTINGS = ("--set", "audio.channels=split", "--set", "audio.max_clip_s=10", "--set", "sink.rows_per_part=8")
FIRST_NIGHT = """\
id,audio,language,reference,offset_s,duration_s,channel,keywords,speaker,note
one,one.wav,en,able baker,,,,,Ada,\N{GRINNING FACE} caf\N{LATIN SMALL LETTER E WITH ACUTE}
two,two.wav,en,,,,,gradium;batch,Ben,
middle,two.wav,,,0.5,1.0,,,Ben,a span
end,two.wav,,,1.5,,,,Ben,"a span, to the end"
call,call.wav,en,this is not what was said,,,,,both,
right,call.wav,en,,,,1,,Dee,one channel
copy,copy-of-one.wav,en,,,,,,Ada,
long,long.wav,en,,,,,,Eve,
changes,changes.wav,en,,,,,,Fay,
breaks,breaks.wav,en,,,,,,Gus,
refused,refused.wav,en,,,,,,Hal,
missing,missing.wav,en,,,,,,Ivy,
"""
SECOND_NIGHT = "".join(f"new-{n},new-{n}.wav,en,,,,,,Jo,\n" for n in range(4))
KILLED_NIGHT = "".join(f"late-{n},late-{n}.wav,en,,,,,,Kay,\n" for n in range(3)) + "halves,halves.wav,en,,,,,,Lee,\n"


def write_recordings(folder: Path) -> None:
    """Writes all recordings as they were in the last night."""
    for name, seconds, channels in (
        ("one", 2, 1), ("two", 3, 1), ("call", 4, 2), ("long", 25, 1), *((f"new-{n}", 1, 1) for n in range(4)),
        *((f"late-{n}", 1, 1) for n in range(3)), ("halves", 22, 1), ("refused", 2, 1),
    ):  # fmt: skip
        write(folder / f"{name}.wav", name, seconds, channels)
    write(folder / "copy-of-one.wav", "one", 2, 1)
    write(folder / "changes.wav", "changed", 2, 1)
    write(folder / "breaks.wav", "broken", 2, 1)


def write_first_recordings(folder: Path) -> None:
    """Writes them as they were in the first night."""
    write_recordings(folder)
    write(folder / "changes.wav", "changes", 2, 1)
    write(folder / "breaks.wav", "breaks", 2, 1)


def write_manifest(folder: Path, *nights: str) -> Path:
    path = folder / "manifest.csv"
    path.write_text("".join((FIRST_NIGHT, *nights)), "utf-8")
    return path


def write(path: Path, sounds_like: str, seconds: int, channels: int) -> None:
    """Writes noise that no other `sounds_like` makes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(random.Random(sounds_like).randbytes(seconds * RATE * channels * 2))

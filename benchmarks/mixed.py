"""Whether preparing starves sending: compressed recordings decoded and sent, beside decoding and sending alone.

All on the same cores: the decoders take every one they get, and the sender must not wait behind them. Decoding alone
is what a run does before it sends, without the run; sending alone is the whole command with recordings that go out
untouched.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.measuring import (
    BYTES_PER_S,
    IN_FLIGHT,
    ROUNDS,
    Figures,
    Load,
    keep,
    machine,
    measured,
    middle,
    ours,
    rounds,
    write_files,
)  # fmt: skip
from benchmarks.preparation import make
from pipeline.audio.prepare import Preparation
from pipeline.audio.probe import read_recording
from pipeline.config.settings import AudioSettings
from pipeline.model import Utterance
from pipeline.price import Price

SECONDS = 30
COUNT = 600
FORMS = ("mp3", "flac")


def write_recordings(folder: Path, recording: Path) -> None:
    """One recording under many names, each with a tail of its own that no decoder reads: equal ones are sent once."""
    folder.mkdir()
    content = recording.read_bytes()
    for number in range(COUNT):
        (folder / f"{number:05d}{recording.suffix}").write_bytes(content + b"TAG" + b"%0125d" % number)


def prepared_alone(folder: Path) -> Figures:
    """Recordings per second, as many at a time as a run sends."""

    async def run(spool: Path) -> float:
        preparation = Preparation(AudioSettings(), Price(3), spool)
        paths = iter([str(path) for path in sorted(folder.iterdir())])

        async def work(some: int | None = None) -> None:
            for number, path in enumerate(paths):
                utterance = Utterance(id=path, audio=path)
                found = await asyncio.to_thread(read_recording, path)
                preparation.release(utterance, await preparation.prepare(utterance, found))
                if some is not None and number >= some:
                    return

        await asyncio.gather(*(work(8) for _ in range(4)))  # every decoder has loaded what it needs
        left, started = COUNT - 4 * 9, time.monotonic()
        await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
        rate = left / (time.monotonic() - started)
        await preparation.close()
        return rate

    with tempfile.TemporaryDirectory(prefix="spool-") as spool:
        return {"sending_per_s": asyncio.run(run(Path(spool) / "spool"))}


def of_slower(found: dict[str, list[Figures]]) -> float:
    """What decoding and sending together reach of the slower of them."""
    return median(
        both["sending_per_s"] / min(decoding["sending_per_s"], sending["sending_per_s"])
        for decoding, sending, both in zip(*found.values(), strict=True)
    )


def main() -> None:
    """Prints a line for each form."""
    print(f"{machine()}; medians of {ROUNDS}")
    kept = {}
    with tempfile.TemporaryDirectory(prefix="mixed-") as name:
        base = Path(name)
        made = make(base, SECONDS)
        size_bytes = SECONDS * BYTES_PER_S
        plain = Load(folder=base / "plain", count=COUNT, size_bytes=size_bytes)
        write_files(plain.folder, size_bytes, COUNT)
        for form in FORMS:
            load = Load(folder=base / form, count=COUNT, size_bytes=size_bytes)
            write_recordings(load.folder, Path(made[form]))
            kept[form] = found = rounds(
                ROUNDS,
                {
                    "decoding alone": partial(prepared_alone, load.folder),
                    "sending alone": partial(measured, plain, partial(ours, plain)),
                    "both": partial(measured, load, partial(ours, load)),
                },
            )
            rates = {what: middle(rows)["sending_per_s"] for what, rows in found.items()}
            told = "   ".join(f"{what} {rate:.0f}/s" for what, rate in rates.items())
            print(f"{form:<5} {told}   {of_slower(found):.2f} of the slower alone", flush=True)
    keep("mixed", kept)

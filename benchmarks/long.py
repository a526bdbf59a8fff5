"""A three-hour recording with known positions, killed in the middle and resumed: words, times, cuts, clips and memory.

Once with beeps, whose times are known to the millisecond, and with SPEECH=1 also with the sample utterances, which the
real recognizer needs about a quarter of an hour for on two cores. Fails loudly when something is not as promised.
"""

from __future__ import annotations

import difflib
import os
import random
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from pipeline.report import wer
from tests.batch import COMMAND, batch, environment
from tests.beeps import BEEP_S, RECOGNIZER, Samples, beeps, talk
from tests.servers import RunningServer, start_server

HOURS = float(os.environ.get("HOURS", "3"))
SAMPLE = Path(__file__).parents[1] / "manifests"
LOCAL = SAMPLE.parent / "configs/local.toml"
RATE = 24_000
FRAME_S = 0.08
BLOCK_S = 60.0
Said = list[tuple[str, float]]


class Memory(threading.Thread):
    """The largest resident memory of a process and of those it started, in MB, asked for 20 times a second."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.first_mb, self.own_mb, self.all_mb = pid, 0.0, 0.0, 0.0

    def run(self) -> None:
        while (own := _rss_mb(self.pid)) > 0:
            self.first_mb = self.first_mb or own
            self.own_mb = max(self.own_mb, own)
            self.all_mb = max(self.all_mb, own + sum(map(_rss_mb, _children(self.pid))))
            time.sleep(0.05)


def _rss_mb(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except (OSError, IndexError):
        return 0.0


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def write_blocks(path: Path, blocks: Iterator[Samples]) -> None:
    """A FLAC file, block by block: three hours are never in memory here either."""
    import soundfile

    with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as file:
        for block in blocks:
            file.write(block)


def beeping(path: Path, seconds: float) -> Said:
    """Phrases of beeps; a second or more of pause between two."""
    blocks = [talk(BLOCK_S, seed=number) for number in range(round(seconds / BLOCK_S))]
    write_blocks(path, (beeps(said, BLOCK_S, RATE) for said in blocks))
    return [(word, at + number * BLOCK_S) for number, said in enumerate(blocks) for word, at in said]


def speaking(path: Path, seconds: float, alone: dict[str, dict[str, Any]]) -> tuple[Said, list[tuple[float, float]]]:
    """The sample utterances, 0.6 to 1.8 s apart: words at the times they have alone, and the gaps."""
    import soundfile
    import soxr

    sounds = {}
    for id_, row in alone.items():
        sound, rate = soundfile.read(row["audio"], dtype="float32")
        sounds[id_] = soxr.resample(sound, rate, RATE)
    choose, said, gaps = random.Random(5), [], []
    order: list[tuple[str, float]] = []
    now = 0.0
    while now < seconds:
        order.append((choose.choice(sorted(sounds)), choose.uniform(0.6, 1.8)))
        now += len(sounds[order[-1][0]]) / RATE + order[-1][1]

    def blocks() -> Iterator[Samples]:
        at = 0
        for id_, pause_s in order:
            said.extend((word["text"], at / RATE + word["start_s"]) for word in alone[id_]["words"])
            pause = np.zeros(round(pause_s * RATE), np.float32)
            yield np.concatenate([sounds[id_], pause])
            at += len(sounds[id_])
            gaps.append((at / RATE, (at + len(pause)) / RATE))
            at += len(pause)

    write_blocks(path, blocks())
    return said, gaps


def killed_and_resumed(server: RunningServer, folder: Path, out: Path, kill_after: int) -> dict[str, Any]:
    """Runs the command, kills it after so many answers, runs it again; returns the row and what it took."""
    command = [*COMMAND, "run", str(folder), "--out", str(out), "--concurrency", "4", "--progress", "off"]
    command += ["--config", str(LOCAL)]  # patience for a recognizer that hears a whole clip before it answers
    before = server.stats()["answered"]
    peaks = []
    for last in (False, True):
        process = subprocess.Popen(command, env=environment(server), stdout=subprocess.DEVNULL)
        memory = Memory(process.pid)
        memory.start()
        while not last and server.stats()["answered"] - before < kill_after:
            assert process.poll() is None, "it ended before its time"
            time.sleep(0.05)
        if not last:
            process.send_signal(signal.SIGKILL)
        status = process.wait()
        memory.join()
        peaks.append(memory)
    assert status == 0, status
    [row] = pq.read_table(out / "transcripts").to_pylist()
    return {
        "row": row,
        "answered": server.stats()["answered"] - before,
        "own_mb": max(peak.own_mb for peak in peaks),
        "all_mb": max(peak.all_mb for peak in peaks),
    }


def told(name: str, found: dict[str, Any], facts: dict[str, Any], *, good: bool) -> None:
    clips = len(found["row"]["request_ids"])
    facts = {
        "hours": found["row"]["duration_s"] / 3600,
        "clips": clips,
        "answered": found["answered"],
        "peak_mb": round(found["own_mb"]),
        "with_decoders_mb": round(found["all_mb"]),
    } | facts
    good = good and found["answered"] <= clips + 4 and found["all_mb"] < 300
    print(
        f"{name}: {', '.join(f'{key}={value}' for key, value in facts.items())}: {'as promised' if good else 'BROKEN'}"
    )
    if not good:
        raise SystemExit(1)


def bounds_of(row: dict[str, Any]) -> list[float]:
    """Where one clip's last word ends and the next one's first word begins."""
    return [
        (before["stop_s"] + after["start_s"]) / 2
        for before, after in pairwise(row["words"])
        if before["clip"] != after["clip"]
    ]


def with_beeps(base: Path) -> None:
    (base / "beeps").mkdir()
    said = beeping(base / "beeps/meeting.flac", HOURS * 3600)
    with start_server(recognizer=RECOGNIZER, latency_s=0.2) as server:
        found = killed_and_resumed(server, base / "beeps", base / "out-beeps", kill_after=round(HOURS * 5))
    words = found["row"]["words"]
    exact = [word["text"] for word in words] == [word for word, _ in said]
    errors = [abs(word["start_s"] - at) for word, (_, at) in zip(words, said, strict=False)]
    errors += [abs(word["stop_s"] - at - BEEP_S) for word, (_, at) in zip(words, said, strict=False)]
    facts = {"words": len(words), "all_in_order": exact, "worst_ms": round(max(errors) * 1000)}
    told("beeps", found, facts, good=exact and max(errors) < FRAME_S)


def with_speech(base: Path) -> None:
    (base / "speech").mkdir()
    with start_server(recognizer="pocketsphinx") as server:
        assert batch("run", SAMPLE / "sample.csv", "--out", base / "alone", server=server).exit == 0
        alone = {row["id"]: row for row in pq.read_table(base / "alone/transcripts").to_pylist()}
        said, gaps = speaking(base / "speech/meeting.flac", HOURS * 3600, alone)
        found = killed_and_resumed(server, base / "speech", base / "out-speech", kill_after=round(HOURS * 5))
    words = found["row"]["words"]
    mine, theirs = [word["text"] for word in words], [word for word, _ in said]
    errors = []
    for block in difflib.SequenceMatcher(None, mine, theirs, autojunk=False).get_matching_blocks():
        errors += [abs(words[block.a + k]["start_s"] - said[block.b + k][1]) for k in range(block.size)]
    compared = wer.compare(" ".join(theirs), found["row"]["text"])
    cuts = bounds_of(found["row"])
    in_gaps = sum(any(first - 0.3 <= cut <= last + 0.3 for first, last in gaps) for cut in cuts)
    facts = {
        "words": len(words),
        "said": len(said),
        "wer": round(compared.wer, 4),
        "cuts_in_gaps": f"{in_gaps}/{len(cuts)}",
        "times_p99_ms": round(float(np.percentile(errors, 99)) * 1000),
        "within_80_ms": round(float(np.mean(np.array(errors) < FRAME_S)), 4),
    }
    told("speech", found, facts, good=compared.wer < 0.05 and in_gaps == len(cuts))


def main() -> None:
    """Runs the forms in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="long-") as folder:
        with_beeps(Path(folder))
        if os.environ.get("SPEECH"):
            with_speech(Path(folder))

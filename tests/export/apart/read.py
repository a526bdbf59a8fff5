"""Reads exports with the libraries they are for, and says as JSON what it found. Run by the Python that has them.

read.py lhotse FOLDER | kaldi FOLDER | nemo FILE | textgrid FILE
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any


def lhotse(folder: Path) -> dict[str, Any]:
    from lhotse import CutSet, RecordingSet, SupervisionSet
    from lhotse.qa import validate_recordings_and_supervisions

    recordings = RecordingSet.from_file(folder / "recordings.jsonl.gz")
    supervisions = SupervisionSet.from_file(folder / "supervisions.jsonl.gz")
    validate_recordings_and_supervisions(recordings, supervisions)
    whole = CutSet.from_manifests(recordings=recordings, supervisions=supervisions)
    found = {cut.supervisions[0].id: _cut(cut) for cut in whole.trim_to_supervisions(keep_overlapping=False)}
    for cut in whole.trim_to_alignments("word", max_pause=0.0):
        [word] = cut.supervisions
        found[word.id.rpartition("-")[0] if word.id not in found else word.id]["heard"].append(
            (word.text, float(abs(cut.load_audio()).max()))
        )
    return found


def _cut(cut: Any) -> dict[str, Any]:
    [supervision] = cut.supervisions
    samples = cut.load_audio()
    return {
        "start": cut.start,
        "channel": cut.channel,
        "shape": samples.shape,
        "peaks": [float(abs(channel).max()) for channel in samples],
        "text": supervision.text,
        "words": [(word.symbol, word.start) for word in supervision.alignment["word"]],
        "custom": supervision.custom,
        "heard": [],
    }


def kaldi(folder: Path) -> dict[str, Any]:
    """With ffmpeg as a package has it."""
    import imageio_ffmpeg
    from lhotse import CutSet
    from lhotse.kaldi import load_kaldi_data_dir

    with tempfile.TemporaryDirectory() as tools:
        (Path(tools) / "ffmpeg").symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
        os.environ["PATH"] = f"{tools}:{os.environ['PATH']}"
        recordings, supervisions, _ = load_kaldi_data_dir(folder, sampling_rate=24_000)
        cuts = CutSet.from_manifests(recordings=recordings, supervisions=supervisions)
        found = {}
        for cut in cuts.trim_to_supervisions(keep_overlapping=False):
            [supervision] = cut.supervisions
            samples = cut.load_audio()
            found[supervision.id] = {
                "text": supervision.text,
                "shape": samples.shape,
                "start": cut.start,
                "peak": float(abs(samples).max()),
            }
        return found


def nemo(file: Path) -> dict[str, Any]:
    from nemo.collections.common.data.lhotse.nemo_adapters import LazyNeMoIterator
    from nemo.collections.common.parts.preprocessing.manifest import item_iter

    cuts = LazyNeMoIterator(str(file), metadata_only=True)
    return {
        "items": [*item_iter(str(file))],
        "cuts": [
            {"start": cut.start, "duration": cut.duration, "text": cut.supervisions[0].text, "custom": cut.custom}
            for cut in cuts
        ],
    }


def textgrid(file: Path) -> dict[str, Any]:
    import parselmouth
    from parselmouth.praat import call
    from praatio.textgrid import openTextgrid

    grid = parselmouth.read(str(file))
    tiers = {}
    for tier in range(1, call(grid, "Get number of tiers") + 1):
        places = range(1, call(grid, "Get number of intervals", tier) + 1)
        tiers[call(grid, "Get tier name", tier)] = [
            (
                call(grid, "Get start time of interval", tier, place),
                call(grid, "Get end time of interval", tier, place),
                call(grid, "Get label of interval", tier, place),
            )
            for place in places
        ]
    other = openTextgrid(str(file), includeEmptyIntervals=True, reportingMode="error")
    assert {name: [tuple(entry) for entry in other.getTier(name).entries] for name in other.tierNames} == tiers
    return tiers


if __name__ == "__main__":
    del sys.path[0]  # this folder has no module that any of them wants
    print("\n" + json.dumps(globals()[sys.argv[1]](Path(sys.argv[2]))))

"""Unpacks an archived output, and the recordings that it was made of, into a test's folder."""

from __future__ import annotations

import tarfile
from pathlib import Path

from tests.earlier import corpus

ARCHIVE = Path(__file__).with_name("version-1.tar.gz")
KINDS = ("both", "lines", "parts")
FORMATS = {"both": (), "lines": ("--set", 'sink.formats=["jsonl"]'), "parts": ("--set", 'sink.formats=["parquet"]')}


def unpack(kind: str, folder: Path) -> tuple[Path, Path]:
    """(the manifest, the output)."""
    with tarfile.open(ARCHIVE) as archive:
        members = [one for one in archive if one.name.split("/")[0] == kind]
        archive.extractall(folder / "outs", members, filter="data")
    audio = folder / kind / "audio"  # as they lay together, by which a project that moved is recognized
    corpus.write_recordings(audio)
    return corpus.write_manifest(audio, corpus.SECOND_NIGHT, corpus.KILLED_NIGHT), folder / "outs" / kind

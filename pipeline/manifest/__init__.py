"""Manifests in, utterances out: a folder, CSV, TSV, JSONL or Parquet file becomes a stream of records.

Reads the manifest only; whether the audio it names exists and is sound is found out later, utterance by utterance.
"""

from __future__ import annotations

from pipeline.manifest.directory import AUDIO_EXTENSIONS
from pipeline.manifest.source import read_manifest

__all__ = ["AUDIO_EXTENSIONS", "read_manifest"]

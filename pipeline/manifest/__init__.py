"""Manifests in, utterances out: folders, recordings, CSV, TSV, JSONL and Parquet files become a stream of records.

Reads the manifest only; whether the audio it names exists and is sound is found out later, utterance by utterance.
"""

from __future__ import annotations

from pipeline.manifest.arguments import Part, parts_of, read_manifest
from pipeline.manifest.ignored import Ignored
from pipeline.manifest.overlaps import without_overlaps

__all__ = ["Ignored", "Part", "parts_of", "read_manifest", "without_overlaps"]

"""Manifests in, utterances out: folders, recordings, CSV, TSV, JSONL and Parquet files become a stream of records.

Reads the manifest only; whether the audio it names exists and is sound is found out later, utterance by utterance.
"""

from __future__ import annotations

from pipeline.manifest.arguments import Input, common_path, inputs_of, path_of, without_overlaps
from pipeline.manifest.search import Ignored
from pipeline.manifest.tables import STDIN

__all__ = ["STDIN", "Ignored", "Input", "common_path", "inputs_of", "path_of", "without_overlaps"]

"""Reads manifests as streams of utterances: folders, recordings, CSV, TSV, JSONL and Parquet files.

The recordings that they name are not opened here.
"""

from __future__ import annotations

from pipeline.manifest.arguments import Input, common_path, inputs_of, path_of, without_overlaps
from pipeline.manifest.search import Ignored
from pipeline.manifest.tables import STDIN

__all__ = ["STDIN", "Ignored", "Input", "common_path", "inputs_of", "path_of", "without_overlaps"]

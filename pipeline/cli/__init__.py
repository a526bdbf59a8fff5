"""The command line: options in, exit status out, each command in a file of its own.

What the commands do is in `run`, `engines` and `server`, which are imported only when a command runs.
"""

from __future__ import annotations

import os

import click

from pipeline.cli import check, export, forget, prune, rebuild, run, serve, show, status
from pipeline.cli.base import Group
from pipeline.redaction import hide
from pipeline.run.asked import KEY_ENV

__all__ = ["main"]


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gradium-batch")
def main() -> None:
    """Turns a manifest of audio files into a dataset of transcripts through the Gradium speech-to-text endpoint.

    MANIFEST is a folder (of recordings, or a Hugging Face data set), a recording, a glob in quotes, a .csv, .tsv,
    .jsonl (each also as .gz) or .parquet file, or - for JSONL on stdin; several are taken together. It may lie
    elsewhere, as in s3://bucket/calls/ or https://host/calls.csv. Exit status: 0 every selected
    utterance has a transcript, 1 the run broke off, 2 usage, configuration or manifest wrong, 3 some utterances failed,
    4 stopped at a limit you set, 5 another run holds the output folder, 130/143 stopped by a signal.
    """
    hide(os.environ.get(KEY_ENV, ""))  # before anything can be shown; a key from elsewhere is hidden when it is read


for module in (check, run, status, show, export, rebuild, prune, forget, serve):
    main.add_command(module.command)

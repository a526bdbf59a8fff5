"""README.md of an output: its dataset card, by which Hugging Face `datasets` loads the folder. Pure: no I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from pipeline.sink.features import card_entries
from pipeline.sink.schema import ERRORS, TRANSCRIPTS

_BODY = """\
# Transcripts

Written by gradium-batch {version}: the transcripts of a manifest of recordings, why other recordings have none, and
what the requests cost. It does not write this file again: change it as you like.

| table | one row per | file |
|---|---|---|
| `transcripts` | utterance with a transcript | {files[transcripts]} |
| `errors` | utterance without one, or without one of its newest audio or settings (`kept`) | {files[errors]} |
| `attempts` | request, with its cost: what was spent is the sum over `credits` here | {files[attempts]} |

```python
{example}
```

DuckDB: `duckdb -init views.sql` gives views of these tables, and of words, segments and the spend of each day.

## transcripts

- `id`, `audio`: the manifest row, and the file it names
- `text`: all words; of several channels turn after turn
- `words`: in time order: `text`, `start_s`, `stop_s` (null where unknown), `channel`, `stream_id`, `clip` (request),
  `timing` (`exact`: as the service said it; `spread`: it said several words at once, whose times are spread over them
  by their length)
- `segments`: sentences, or the turns of several channels: `text`, `start_s`, `stop_s`, `channel`
- `duration_s`: length of the transcribed audio, measured
- `offset_s`, `span_s`, `channel`: the part of the recording that the row asks for; 0 and null mean all of it. Times
  are seconds from `offset_s`
- `sample_rate`, `channels`: of the recording
- `status`, `issues`: `ok`, or `suspect` and why
- `language`, `model`, `service`: as requested, as the service reports it, who answered
- `audio_hash`, `config_hash`: of the audio, and of all settings that shape a transcript
- `request_ids`, `attempts`, `latency_s`, `credits`: the requests behind the row; 0 for a copy
- `run_id`, `finished_at`: when it was made (UTC)
- `reference`, `wer`: from the manifest; word error rate, ignoring case and punctuation
- `metadata`: the manifest's other columns, {metadata}

## errors

`id`, `audio`, `error` (the class), `message` (the service's own words), `http_status`, `code`, `retryable`, `kept`
(an earlier transcript stays), `clip`, `attempts`, `first_seen`, `last_seen`, `run_id`, `metadata`

## attempts

`id`, `clip`, `attempt`, `run_id`, `started_at`, `latency_s`, `http_status`, `code`, `outcome` (`ok` or the error's
class), `billed` (`yes`, `no`, `maybe`), `credits`, `bytes_sent`, `request_id`, `residency` (the region, where
the service names it)
"""
_EXAMPLES = {
    True: """\
from datasets import load_dataset
transcripts = load_dataset("FOLDER", split="train")             # FOLDER is where this file lies
attempts = load_dataset("FOLDER", "attempts", split="train")    # "errors" likewise, where there are any

import pandas
transcripts = pandas.read_parquet("FOLDER/transcripts")""",
    False: """\
from datasets import load_dataset                               # 5.0 or newer
transcripts = load_dataset("FOLDER", split="train")             # FOLDER is where this file lies; "errors" likewise
attempts = load_dataset("parquet", data_files="FOLDER/attempts/part-*.parquet", split="train")

import pandas
transcripts = pandas.read_json("FOLDER/transcripts.jsonl", lines=True, dtype=False)  # else it turns "007" into 7""",
}


def card(tables: Mapping[str, str]) -> str:
    """The card of an output with these tables and their files."""
    has_parts = tables["transcripts"].endswith(".parquet")
    return _front_matter(tables, has_parts=has_parts) + _BODY.format(
        version=_version(),
        files={name: f"`{file}`" for name, file in tables.items()},
        example=_EXAMPLES[has_parts],
        metadata="a JSON object as text" if has_parts else "an object",
    )


def types_of_lines() -> str:
    """The types of the columns of JSON Lines, which `datasets` cannot find out where lists are empty."""
    lines = ["dataset_info:"]
    for name, schema in (("errors", ERRORS), ("transcripts", TRANSCRIPTS)):
        lines += [f"- config_name: {name}", "  features:"]
        lines += [f"  - {json.dumps(entry)}" for entry in card_entries(schema)]
    return "\n".join([*lines, ""])


def _front_matter(tables: Mapping[str, str], *, has_parts: bool) -> str:
    lines = ["---", "task_categories:", "- automatic-speech-recognition", "configs:"]
    for name, file in tables.items():
        if file.endswith(".parquet") != has_parts:
            continue  # `datasets` reads all tables of a folder in one format
        lines += [f"- config_name: {name}", *(["  default: true"] if name == "transcripts" else [])]
        lines += ["  data_files:", "  - split: train", f"    path: {file}"]
    return "\n".join([*lines, "---\n" if has_parts else f"{types_of_lines()}---\n"])


def _version() -> str:
    try:
        return version("gradium-batch")
    except PackageNotFoundError:  # it runs from a checkout
        return ""

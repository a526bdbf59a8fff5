"""README.md and .huggingface.yaml of a Hugging Face data set. Pure: no I/O."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable

from pipeline.export.formats.hub import shard_pattern
from pipeline.export.formats.hub_splits import TRAIN

CARD, STATE = "README.md", ".huggingface.yaml"
_BODY = """\
# Transcribed speech

Transcripts of recordings, made by machine with gradium-batch, and exported with `gradium-batch export --format hf`.
Nobody has listened to them, unless a row has a `reference`. Say here where the recordings are from, and under which
license they may be used: in the lines above as `license: …`. A later export does not write over what you change here.

```python
from datasets import load_dataset

rows = load_dataset("FOLDER", split={split})  # FOLDER is where this file lies, or its name on the Hub
```

{audio}
- `id`: of the row in the manifest
- `text`: what was recognized; of several channels turn after turn
- `reference`, `wer`: what the manifest says was spoken; the word error rate against it, ignoring case and punctuation
- `duration_s`: length of the transcribed audio, measured
- `offset_s`, `span_s`, `channel`: which part of its recording the row is; 0 and null mean all of it
- `language`, `model`: as requested, as the service reports it
- `words`: `text`, `start_s`, `stop_s` (null where unknown), `channel`, `stream_id`, `clip`, `timing` (`exact`, or
  `spread` over the words that were recognized at once)
- `segments`: sentences, or the turns of several channels: `text`, `start_s`, `stop_s`, `channel`
- `status`, `issues`: `ok`, or `suspect` and why
- `metadata`: the manifest's other columns, a JSON object as text

All times are seconds from the start of the row's audio, which is `offset_s` seconds after that of its recording.
"""
_WITH_AUDIO = """\
- `audio`: the row's audio as a file: the recording as it is, or, of a part of it and of formats that few libraries
  read, a lossless copy (FLAC). It is cut already: `offset_s` only tells from where"""
_WITHOUT_AUDIO = """\
- `audio_path`: the file of the recording where this was made; a row may be a part of it, see `offset_s`"""


def card(splits: Collection[str], *, with_audio: bool) -> str:
    """README.md, the data set's card: to be written where there is none, or the one that was written last, because
    people add a license to it. Without `splits` it names `train`, whose first shard is to be there without a row: then
    `datasets` streams nothing, and says when it loads that "train" corresponds to no data."""
    names = _names(splits)
    front = ["---", "task_categories:", "- automatic-speech-recognition", _configs(names).rstrip(), "---", ""]
    audio = _WITH_AUDIO if with_audio else _WITHOUT_AUDIO
    return "\n".join(front) + _BODY.format(split=_quoted(names[0]), audio=audio)


def state(splits: Collection[str], shards: Iterable[tuple[str, str]]) -> str:
    """.huggingface.yaml, to be written whenever it differs: the splits again, because the card may be somebody's own by
    now, and a hash of the shards' names and versions (any text that changes with the content).

    `datasets` keeps what it once loaded from a folder of this name, and takes it for what is there now unless one of
    these changes.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name, version in sorted(shards):
        digest.update(f"{name} {version}\n".encode())
    about = f"dataset_info:\n- config_name: default\n  description: as of {digest.hexdigest()}\n"
    return _configs(_names(splits)) + about


def _names(splits: Collection[str]) -> list[str]:
    """With `train` first, which is what a viewer shows."""
    return sorted(splits, key=lambda name: (name != TRAIN, name)) or [TRAIN]


def _configs(names: Collection[str]) -> str:
    lines = ["configs:", "- config_name: default", "  data_files:"]
    for name in names:
        # in quotation marks: YAML takes 2024, 1.5, no and null for something else than text
        lines += [f"  - split: {_quoted(name)}", f"    path: {_quoted(shard_pattern(name))}"]
    return "\n".join([*lines, ""])


def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)

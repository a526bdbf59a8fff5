"""README.md and .huggingface.yaml of a Hugging Face data set. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable

CARD, STATE = "README.md", ".huggingface.yaml"


def card(splits: Collection[str], *, with_audio: bool) -> str:
    """README.md, the data set card. To be written where there is none, or the one that was written last: people add a
    license to it. With `splits` empty the data set has the split `train`, which needs an (empty) shard."""
    raise NotImplementedError


def state(splits: Collection[str], shards: Iterable[tuple[str, str]]) -> str:
    """.huggingface.yaml, to be written whenever it differs: the splits again, should the card be somebody's own by now,
    and a hash of the shards' names and versions (any text that changes with the content). `datasets` keeps what it once
    loaded from a folder of this name, and looks at nothing else to see whether it has changed."""
    raise NotImplementedError

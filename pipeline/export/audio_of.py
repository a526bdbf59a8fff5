"""The audio bytes of rows: the recording's file, or the part of it that a row asks for.

with AudioOf(folder) as audio:
    for row, found in audio.of(rows): ...
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, Self

import msgspec

from pipeline.export.formats.hub import AudioBytes
from pipeline.model import Transcript

MOST_BYTES = 256 << 20
"""Of a row's audio: a cell of a Parquet file is in memory as a whole, a few times, where it is written and read."""
SPOOL_BYTES = 4 << 30


class NoAudio(msgspec.Struct, frozen=True, kw_only=True):
    """Why a row has no audio to export."""

    why: Literal["missing", "changed", "too large", "unreadable"]
    """To count them by. `changed`: the recording is not the one that was transcribed."""
    message: str
    """A sentence that names no row."""


class AudioOf:
    """Reads the audio of rows, ahead in processes of its own. Blocks; not for a thread with a running event loop."""

    def __init__(
        self, folder: Path, *, decoders: int = 0, most_bytes: int = MOST_BYTES, spool_bytes: int = SPOOL_BYTES
    ) -> None:
        """`folder` is for what is decoded: made where it is needed, emptied before and removed afterwards. `decoders`:
        processes, 0 for one per CPU."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the processes and removes the folder, also in the middle of `of`."""

    def of(self, rows: Iterable[Transcript]) -> Iterator[tuple[Transcript, AudioBytes | NoAudio]]:
        """Each row with its audio, in the order of the rows, of which a few are taken ahead.

        Raises OutputError where the folder cannot be written to, and NoDecoder where no process starts.
        """
        raise NotImplementedError

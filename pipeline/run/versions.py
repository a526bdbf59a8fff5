"""The versions of the recordings of rows: by which a later run sees whether one may have changed.

Local files are asked one after another; remote ones are asked many at a time, some rows ahead.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from functools import lru_cache
from itertools import chain, islice
from typing import NamedTuple

from pipeline.checkpoint import UNKNOWN, UNREADABLE
from pipeline.errors import (
    AttemptError,
    AudioForbidden,
    AudioMissing,
    SourceChanged,
    SourceFault,
    SourceTimeout,
    SourceUnreachable,
)
from pipeline.model import BadRow, Utterance
from pipeline.source import Sources
from pipeline.source.addresses import is_address
from pipeline.threads import DaemonThreads, is_done

REMEMBERED = 4_096
"""Recordings whose version is cached: rows of one recording are mostly close together in a manifest."""
AHEAD = 1_024
"""Rows that are read ahead where one is remote."""
ASKED_AT_ONCE = 32
STEP_S = 0.2
NO_ANSWER = AudioForbidden, SourceChanged, SourceFault, SourceTimeout, SourceUnreachable
"""After these nothing is known of the recording; it is no reason to look at its content again."""


class Found(NamedTuple):
    """What is known of a recording without reading it."""

    version: str | None
    """None: it is missing; UNREADABLE: it cannot be read; UNKNOWN: its source did not tell."""
    size_bytes: int | None
    about_s: float
    """An estimate of its length in seconds."""


NOT_ASKED = Found(None, None, 0.0)
"""Of bad rows."""
Row = Utterance | BadRow


class Versions:
    """Asks for the versions of the recordings of one scan."""

    def __init__(self, sources: Sources, on_step: Callable[[], None]) -> None:
        """`on_step` is called while answers are waited for; it may raise to end the scan."""
        self._on_step = on_step
        self._sources = sources
        self.at = lru_cache(maxsize=REMEMBERED)(self._at)
        """Of a path or address. Blocks."""
        self.no_answer = ""
        """Why the source of a recording did not tell, the last time."""

    def of(self, rows: Iterable[Row]) -> Iterator[tuple[Row, Found]]:
        """Each row with what is known of its recording, in their order."""
        left = iter(rows)
        for row in left:
            if isinstance(row, BadRow):
                yield row, NOT_ASKED
            elif not is_address(row.audio):
                yield row, self.at(row.audio)
            else:
                yield from self._ahead(chain([row], left))

    def _ahead(self, rows: Iterator[Row]) -> Iterator[tuple[Row, Found]]:
        threads = DaemonThreads(ASKED_AT_ONCE, "versions")
        asked: OrderedDict[str, Future[Found]] = OrderedDict()
        waiting: list[Row] = []
        try:
            while True:
                waiting += islice(rows, AHEAD - len(waiting))
                if not waiting:
                    return
                for row in waiting:
                    if isinstance(row, BadRow) or not is_address(row.audio):
                        continue
                    if row.audio not in asked:
                        asked[row.audio] = threads.submit(self._at, row.audio)
                    asked.move_to_end(row.audio)
                # half of them: the others are asked for meanwhile
                some, waiting = waiting[: AHEAD // 2], waiting[AHEAD // 2 :]
                for row in some:
                    yield row, self._answer(row, asked)
                while len(asked) > REMEMBERED:
                    asked.popitem(last=False)
        finally:
            threads.shutdown(wait=False, cancel_futures=True)

    def _answer(self, row: Row, asked: OrderedDict[str, Future[Found]]) -> Found:
        if isinstance(row, BadRow):
            return NOT_ASKED
        if not is_address(row.audio):
            return self.at(row.audio)
        answer = asked[row.audio]
        while not is_done(answer, STEP_S):
            self._on_step()
        return answer.result()

    def _at(self, audio: str) -> Found:
        try:
            found = self._sources.stat(audio)
        except AudioMissing:
            return Found(None, None, 0.0)
        except NO_ANSWER as error:
            self.no_answer = str(error)
            return Found(UNKNOWN, None, 0.0)
        except AttemptError:
            return Found(UNREADABLE, None, 0.0)
        return Found(found.version, found.size_bytes, found.estimated_s)

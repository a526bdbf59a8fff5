"""Progress over rows on stderr: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

from pipeline.report.logs import is_json, say
from pipeline.report.progress import PLAIN_EVERY_S, Mode


class RowsBar:
    """Counts rows; `mode` is that of `--progress`."""

    def __init__(self, mode: Mode = "off") -> None:
        if mode == "auto":
            mode = "bar" if sys.stderr is not None and sys.stderr.isatty() else "plain"
        self._mode = "plain" if mode == "bar" and is_json() else mode
        self._bar: Any = None
        self._done, self._total = 0, 0
        self._next = time.monotonic() + PLAIN_EVERY_S

    def start(self, total: int) -> None:
        """So many rows are to be done."""
        self.close()
        self._done, self._total = 0, total
        if self._mode == "bar":
            from tqdm import tqdm

            self._bar = tqdm(total=total, unit=" rows", unit_scale=True, file=sys.stderr, dynamic_ncols=True)

    def advance(self, count: int) -> None:
        """So many more are done."""
        self._done += count
        if self._bar is not None:
            self._bar.update(count)
        elif self._mode == "plain" and time.monotonic() >= self._next:
            self._next = time.monotonic() + PLAIN_EVERY_S
            say(f"{self._done:,} of {self._total:,} rows")

    def close(self) -> None:
        """The work is over."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

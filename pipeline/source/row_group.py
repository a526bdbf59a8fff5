"""Reads the recordings of a row group of a Parquet file in order, for several threads that ask in about that order.

A row group takes 100 MB and more: only the rows that were passed by are in memory, up to a bound for all groups.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Any

Buffer = Any
"""A `pyarrow.Buffer`: the bytes of a recording."""
Content = Buffer | None
"""None for a row without them."""


class Passed:
    """The rows that were passed by and not yet asked for, the oldest of which are given up for others."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._rows: dict[tuple[int, int], Content] = {}
        self._lock = threading.Lock()

    def put(self, group: int, row: int, content: Content) -> None:
        with self._lock:
            self._remove((group, row))
            self._rows[group, row] = content
            self._bytes += _size(content)
            while self._bytes > self._most_bytes:
                self._remove(next(iter(self._rows)))

    def pop(self, group: int, row: int) -> tuple[Content] | None:
        """The row's content; None where it is not kept."""
        with self._lock:
            return self._remove((group, row))

    def forget(self, group: int) -> None:
        """Removes the rows of a group."""
        with self._lock:
            for key in [key for key in self._rows if key[0] == group]:
                self._remove(key)

    def _remove(self, key: tuple[int, int]) -> tuple[Content] | None:
        if key not in self._rows:
            return None
        content = self._rows.pop(key)
        self._bytes -= _size(content)
        return (content,)


class RowGroup:
    """The recordings of one row group. Of the rows that are waited for, the first is read first."""

    def __init__(self, count: int, read: Callable[[], Generator[Content]], passed: Passed) -> None:
        """`read` gives all its rows, so many, from the first one on; it is closed, and called again where rows are
        asked for that are no longer kept."""
        self._count = count
        self._read = read
        self._passed = passed
        self._rows: Generator[Content] | None = None
        self._next = 0
        self._waited_for: list[int] = []
        self._is_read = False
        self._changed = threading.Condition()

    def take(self, row: int) -> Content:
        """The content of a row, counted from the first of the group. Raises what reading does."""
        with self._changed:
            self._waited_for.append(row)
            try:
                while self._is_read or min(self._waited_for) != row:
                    if (found := self._passed.pop(id(self), row)) is not None:
                        return found[0]
                    self._changed.wait()
                if (found := self._passed.pop(id(self), row)) is not None:
                    return found[0]
                self._is_read = True
            finally:
                self._waited_for.remove(row)
                self._changed.notify_all()
        try:
            return self._read_up_to(row)
        except BaseException:
            self._end()
            raise
        finally:
            with self._changed:
                self._is_read = False
                self._changed.notify_all()

    def put_back(self, row: int, content: Content) -> None:
        """Keeps a row that was taken, for the next one who asks."""
        self._passed.put(id(self), row, content)

    def close(self) -> None:
        """Ends the reading. Nobody may be waiting."""
        self._end()
        self._passed.forget(id(self))

    def _read_up_to(self, row: int) -> Content:
        if self._rows is None or self._next > row:
            self._end()
            self._rows, self._next = self._read(), 0
        for content in self._rows:
            self._next += 1
            if self._next == self._count:
                self._end()  # it holds a page, which may be as large as the group
            if self._next > row:
                return content
            self._passed.put(id(self), self._next - 1, content)
        raise EOFError("a row group gave fewer rows than it has")

    def _end(self) -> None:
        rows, self._rows = self._rows, None
        if rows is not None:
            rows.close()


def _size(content: Content) -> int:
    return 0 if content is None else content.size

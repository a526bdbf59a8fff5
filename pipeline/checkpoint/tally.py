"""The table of utterances counted by state, and its triggers.

These update the counts in the transaction that changes a row, so that they are right after any crash, and `status`
reads a few rows whatever the size of the checkpoint.
"""

from __future__ import annotations

from itertools import product


def micros(row: str) -> str:
    """SQL for a row's audio in whole microseconds, which add and subtract without rounding errors."""
    return f"CAST(round(coalesce({row}.duration_s, 0) * 1e6) AS INTEGER)"


def _tally(row: str, sign: str) -> str:
    """SQL that adds a row to its group (`sign` +) or subtracts it (-)."""
    return f"""UPDATE tally SET rows = rows {sign} 1, audio_us = audio_us {sign} {micros(row)},
        ref_words = ref_words {sign} {row}.ref_words, ref_errors = ref_errors {sign} {row}.ref_errors
        WHERE state = {row}.state AND vanished = {row}.vanished AND suspect = {row}.suspect AND gone = {row}.gone;"""  # noqa: S608 fixed texts


_GROUPS = ", ".join(str(group) for group in product(range(5), (0, 1, 2), (0, 1), (0, 1)))

# Every group exists from the start: the ON CONFLICT of the statement that fires a trigger overrides the trigger's own.
COUNTED = f"""
CREATE TABLE tally (
    state      INTEGER NOT NULL,
    vanished   INTEGER NOT NULL,
    suspect    INTEGER NOT NULL,
    gone       INTEGER NOT NULL,
    rows       INTEGER NOT NULL DEFAULT 0,
    audio_us   INTEGER NOT NULL DEFAULT 0,
    ref_words  INTEGER NOT NULL DEFAULT 0,
    ref_errors INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (state, vanished, suspect, gone)
) WITHOUT ROWID;
INSERT INTO tally (state, vanished, suspect, gone) VALUES {_GROUPS};
CREATE TRIGGER counted_insert AFTER INSERT ON utterances BEGIN {_tally("new", "+")} END;
CREATE TRIGGER counted_delete AFTER DELETE ON utterances BEGIN {_tally("old", "-")} END;
CREATE TRIGGER counted_update
    AFTER UPDATE OF state, vanished, suspect, gone, duration_s, ref_words, ref_errors ON utterances
    BEGIN {_tally("old", "-")} {_tally("new", "+")} END;
"""  # noqa: S608 fixed texts

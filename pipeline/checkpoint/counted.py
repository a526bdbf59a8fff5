"""The utterances counted: by state for the figures, and by class of failure.

Triggers keep the counts in the very transaction that changes a row, whoever changes it: they are right after any crash,
and `status` reads a few rows whatever the size of the checkpoint.
"""

from __future__ import annotations

from itertools import product


def _micros(row: str) -> str:
    """A row's audio in whole microseconds: adding and taking away leaves nothing behind, as fractions would."""
    return f"CAST(round(coalesce({row}.duration_s, 0) * 1e6) AS INTEGER)"


def _tally(row: str, sign: str) -> str:
    """Adds a row to its group, or takes it away."""
    return f"""UPDATE tally SET rows = rows {sign} 1, audio_us = audio_us {sign} {_micros(row)},
        ref_words = ref_words {sign} {row}.ref_words, ref_errors = ref_errors {sign} {row}.ref_errors
        WHERE state = {row}.state AND vanished = {row}.vanished AND suspect = {row}.suspect AND gone = {row}.gone;"""  # noqa: S608 fixed texts


def _is_failing(row: str) -> str:
    return f"{row}.error IS NOT NULL AND {row}.state IN (3, 4) AND NOT {row}.vanished AND NOT {row}.gone"


_GROUPS = ", ".join(str(group) for group in product(range(5), (0, 1, 2), (0, 1), (0, 1)))

# Every group is there from the start: a trigger's own ON CONFLICT gives way to that of the statement that fires it.
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
CREATE TABLE failing (error TEXT PRIMARY KEY, rows INTEGER NOT NULL);
CREATE INDEX oldest ON failures (error, first_seen);
CREATE TRIGGER counted_insert AFTER INSERT ON utterances BEGIN {_tally("new", "+")} END;
CREATE TRIGGER counted_delete AFTER DELETE ON utterances BEGIN {_tally("old", "-")} END;
CREATE TRIGGER counted_update
    AFTER UPDATE OF state, vanished, suspect, gone, duration_s, ref_words, ref_errors ON utterances
    BEGIN {_tally("old", "-")} {_tally("new", "+")} END;
CREATE TRIGGER failing_named AFTER INSERT ON failures BEGIN
    UPDATE utterances SET error = new.error WHERE n = new.n;
END;
CREATE TRIGGER failing_more AFTER UPDATE OF state, vanished, gone, error ON utterances WHEN {_is_failing("new")} BEGIN
    INSERT INTO failing SELECT new.error, 0 WHERE NOT EXISTS (SELECT 1 FROM failing WHERE error = new.error);
    UPDATE failing SET rows = rows + 1 WHERE error = new.error;
END;
CREATE TRIGGER failing_less AFTER UPDATE OF state, vanished, gone, error ON utterances WHEN {_is_failing("old")} BEGIN
    UPDATE failing SET rows = rows - 1 WHERE error = old.error;
END;
CREATE TRIGGER failing_gone AFTER DELETE ON utterances WHEN {_is_failing("old")} BEGIN
    UPDATE failing SET rows = rows - 1 WHERE error = old.error;
END;
"""  # noqa: S608 fixed texts

# For a checkpoint that has rows from before they were counted.
COUNT_ALL = f"""
UPDATE tally SET (rows, audio_us, ref_words, ref_errors) =
    (SELECT count(*), coalesce(sum({_micros("u")}), 0), coalesce(sum(u.ref_words), 0), coalesce(sum(u.ref_errors), 0)
     FROM utterances u WHERE u.state = tally.state AND u.vanished = tally.vanished AND u.suspect = tally.suspect
       AND u.gone = tally.gone);
INSERT INTO failing SELECT error, count(*) FROM utterances u WHERE {_is_failing("u")} GROUP BY error;
"""  # noqa: S608 fixed texts

# Takes all of it away, for a checkpoint that counted in another way.
UNCOUNTED = """
DROP TRIGGER IF EXISTS counted_insert; DROP TRIGGER IF EXISTS counted_delete; DROP TRIGGER IF EXISTS counted_update;
DROP TRIGGER IF EXISTS failing_named; DROP TRIGGER IF EXISTS failing_more; DROP TRIGGER IF EXISTS failing_less;
DROP TRIGGER IF EXISTS failing_gone;
DROP TABLE IF EXISTS tally; DROP TABLE IF EXISTS failing; DROP INDEX IF EXISTS oldest;
"""

"""Why rows that failed, or are left, were not tried by a run, or will not be by the next one. Only reads."""

from __future__ import annotations

import sqlite3

from pipeline.checkpoint.schema import State
from pipeline.checkpoint.setbacks import POSTPONED
from pipeline.checkpoint.tables import BAD_ROW
from pipeline.errors import AudioMissing

_POSTPONED_NOW = f"u.state = {State.FAILED_PASSING:d} AND u.due > (SELECT count(*) FROM runs)"  # noqa: S608 fixed texts


def untried(db: sqlite3.Connection, seen: str, run_id: str | None) -> dict[str, int]:
    """Counts of the failed by why they were not tried by a run that is at its end; without a `run_id` by why the next
    one will not try them. `seen` is the list of values of `vanished` that count.

    `missing`: their files are not there; `own_fault`: until they change; `postponed`: they failed run after run; and
    of a run `unreached`, which it had selected, and `unasked`. `left_unasked` are those of what is left.
    """
    final, missing = f"u.state = {State.FAILED_ITEM:d}", f"u.error = '{AudioMissing.__name__}'"
    postponed = _POSTPONED_NOW if run_id else POSTPONED
    found = db.execute(
        f"""SELECT coalesce(sum(NOT u.selected AND {final} AND {missing}), 0),
                   coalesce(sum(NOT u.selected AND {final} AND NOT {missing}), 0),
                   coalesce(sum(NOT u.selected AND {postponed}), 0), coalesce(sum(u.selected), 0), count(*)
            FROM failures f CROSS JOIN utterances u USING (n)
            WHERE u.state IN ({State.FAILED_PASSING:d}, {State.FAILED_ITEM:d}) AND u.vanished IN {seen} AND NOT u.gone
                AND u.config_hash <> '{BAD_ROW}' AND u.tried IS NOT ?""",  # noqa: S608 fixed texts
        (run_id,),
    ).fetchone()
    counts = dict(zip(("missing", "own_fault", "postponed"), found[:3], strict=True))
    if run_id is None:
        return counts
    left = f"u.state IN ({State.NEW:d}, {State.CHANGED:d}) AND u.vanished IN {seen} AND NOT u.gone"
    [left_selected] = db.execute(f"SELECT count(*) FROM utterances u WHERE u.selected AND {left}").fetchone()  # noqa: S608
    [left_rows] = db.execute(
        f"SELECT coalesce(sum(rows), 0) FROM tally u WHERE {left}"  # noqa: S608 fixed texts
    ).fetchone()
    unreached, total = found[3:]
    return counts | {
        "unreached": unreached,
        "unasked": total - unreached - sum(counts.values()),
        "left_unasked": left_rows - left_selected,
    }

"""What errors.* say: each row without a transcript for its newest content, for its own reason, and no other."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.pool.refusals import ALIKE
from tests.nights.answers import Identity
from tests.nights.case import BROKE_OFF, Case
from tests.nights.failing import DRAWN, REFUSED
from tests.nights.model import standing

EXPECTED = {
    "broken": {"AudioUnreadable", "AudioUnsupported", "AudioEmpty", "AudioTruncated"},
    "truncated": {"AudioTruncated"},
    "gone": {"AudioMissing"},
    "unreadable": {"AudioUnavailable", "AudioUnreadable"},
}


def errors(case: Case) -> Iterator[str]:
    """The errors are rows of the manifest that have no transcript, or none for their newest content; each for its own
    reason."""
    wanted = {one.id: one for one in case.wanted}
    for id_, problem in case.before.errors.items():
        sure = id_ not in case.before.doubtful and not case.before.open.manifests
        if sure and id_ not in wanted and _is_of_another(case, id_) and id_ not in case.now.errors:
            yield f"{id_} failed for {case.before.seen_by[id_]} and is no longer in the errors: {problem}"
    drawn: dict[Identity, set[str]] = {}
    for asked in case.ended.asked:
        drawn.setdefault(asked.identity, set()).update(DRAWN.get(asked.end, ()))
    for id_, problem in case.now.errors.items():
        one = wanted.get(id_)
        if one is None:
            if not _is_of_another(case, id_):
                yield f"{id_} is in the errors, and no manifest has it"
            continue
        if problem.kept is not None and problem.kept != (id_ in case.now.rows):
            yield f"{id_} is in the errors with kept={problem.kept}, while its transcript is there or not: {problem}"
        if problem.run_id != case.run_id:
            # it may have been gone meanwhile, and is back as it was when it failed
            known = (id_, problem.error, problem.run_id) in case.before.failures
            if not known and problem.run_id in case.before.runs:
                yield f"{id_} is in the errors of {problem.run_id}, which no night said: {problem}"
            continue
        expected = EXPECTED.get(one.state) or drawn.get(one.identity or Identity("", "", ""), set())
        if one.state == "unreadable":  # it may be known from before what is in it
            expected = expected.union(*EXPECTED.values(), drawn.get(one.identity or Identity("", "", ""), set()))
        expected = expected - {"AudioRefused" if refused_everybody(case) else "UnconfirmedRefusal"}
        if case.before.final.get(id_) == (one.identity, one.stamp) and problem.retryable:
            yield f"{id_} was refused, was asked for again, and is worth another try since: {problem}"
        expected = expected | case.before.failing.errors_of(one.identity)  # under whatever id
        had = case.before.errors.get(id_)
        if expected and (id_ in case.before.doubtful or (had is not None and had.error in REFUSED)):
            expected = expected | REFUSED  # asked for again, it failed in a way that does not say otherwise
        if problem.error not in expected:
            yield f"{id_} is {one.state} and failed as {problem.error}, expected {sorted(expected)}"
        if one.state == "gone" and case.now.has_of(id_, one.path):
            yield f"{id_} is gone, its transcript is there: that is done, not failed"
        if problem.error in REFUSED and problem.retryable:
            yield f"{id_} was refused, and is called retryable"


def refused_everybody(case: Case) -> bool:
    """Whether one refusal met most of the first recordings, which ended the night, or several and none was answered."""
    if "failed" in case.night.only:
        return False
    refused = {asked.identity for asked in case.ended.asked if asked.end == "refused"}
    if case.ended.exit == BROKE_OFF:
        return len(refused) >= ALIKE
    return len(refused) > 1 and not any(asked.answered for asked in case.ended.asked)


def _is_of_another(case: Case, id_: str) -> bool:
    """Whether another manifest had the row in its last night, and no other since."""
    before = case.before
    by = before.seen_by.get(id_)
    return id_ in before.doubtful or (by not in (None, case.night.manifest) and id_ in before.listed.get(by or "", {}))


def settled(case: Case) -> Iterator[str]:
    """After a whole night each row is done or failed, and no row with a transcript for its newest content failed."""
    for one in case.wanted:
        row = case.now.rows.get(one.id)
        stands = standing(one, case.now)
        if stands == "left":
            yield f"{one.id} is {one.state} and neither done nor failed; it has {row and row.identity}"
        if stands == "failed" and one.state == "sound" and row is not None and row.identity == one.identity:
            yield f"{one.id} is in the errors and has the transcript it wants: {case.now.errors[one.id]}"
        if row is None or stands != "done":
            continue
        if (row.reference or None, row.metadata) != (one.reference, one.metadata):
            yield f"{one.id} says {row.reference!r}, {row.metadata}, the manifest {one.reference!r}, {one.metadata}"
        if one.state == "sound" and not row.audio.endswith(one.path):
            yield f"{one.id} names {row.audio}, the manifest {one.path}"
        if one.state == "broken" or one.state == "truncated":
            yield f"{one.id} is {one.state} and called done"
        if one.state == "gone" and not case.now.has_of(one.id, one.path):
            yield f"{one.id} is gone from {one.path}, and called done with the transcript of {row.audio}"
    if case.night.calm:
        left_out = case.ended.figures["left_out"] if case.ended.figures else 0
        for one in case.wanted:
            problem = case.now.errors.get(one.id)
            if one.state == "sound" and problem is not None and not case.before.may_rest(one):
                refused = case.before.failed_for.get(one.id) == one.identity or problem.run_id not in case.before.runs
                if problem.retryable and problem.run_id != case.run_id and left_out:
                    left_out -= 1  # it failed run after run, and waits
                elif not (problem.error in REFUSED and problem.run_id != case.run_id and refused):
                    yield f"nothing was wrong this night and {one.id} failed: {problem}"

"""Who comes first: never tried first, then fewest and oldest tries; and what fits a budget is sent."""

from __future__ import annotations

from collections.abc import Iterator

from tests.nights.case import LIMIT, OK, SOME_FAILED, Case
from tests.nights.world import Wanted

SUSPECT, FAILED = ("suspect",), ("failed",)


def in_turn(case: Case) -> Iterator[str]:
    """A night with --limit passes nobody over for one whose turn is later, and nobody for ever."""
    night, turns = case.night, case.before.turns
    if night.limit is None or night.budget is not None or night.at_most_s is not None:
        return
    if night.only not in ((), FAILED, SUSPECT) or case.ended.exit not in (OK, SOME_FAILED, LIMIT):
        return
    passed = [one for one in case.wanted if _is_due(case, one) and not _was_tried(case, one)]
    redone = night.only == SUSPECT
    tried = [one for one in case.wanted if _has_outcome(case, one) and turns.of(one.id).is_sure]
    if tried:
        last = max(tried, key=lambda one: turns.of(one.id).key(redone=redone))
        for one in passed:
            turn, other = turns.of(one.id), turns.of(last.id)
            if turn.is_sure and turn.key(redone=redone) < other.key(redone=redone):
                yield f"{last.id} ({other}) was tried and {one.id} ({turn}) was not: it comes first"
    if night.only:
        return
    if case.ended.exit == LIMIT:
        # a file that was but touched takes a place, too
        others = {(one.id, one.stamp) for one in case.wanted if turns.of(one.id).done_as != one.stamp}
        yield from turns.starved(night.limit, [(one.id, one.stamp) for one in passed], others)
    elif passed:
        yield f"exit {case.ended.exit}, and nothing became of {[one.id for one in passed]}"


def fits(case: Case) -> Iterator[str]:
    """What a budget has room for in the end was sent."""
    night = case.night
    if night.budget is None or night.only or night.limit is not None or night.at_most_s is not None:
        return
    if case.ended.exit not in (OK, SOME_FAILED, LIMIT):
        return
    left = night.budget - (case.ended.figures or {})["credits"]
    for one in case.wanted:
        if one.price <= left - 1e-6 and _is_due(case, one) and not _was_tried(case, one):
            yield f"{one.id} needs {one.price:.3f} credits, {left:.3f} were left and it was not sent"


def _is_due(case: Case, one: Wanted) -> bool:
    """Whether the night must have had the row among its work, as one that may need a request."""
    before = case.before
    row, problem = before.rows.get(one.id), before.errors.get(one.id)
    if one.state != "sound" or one.id in before.open.moved or before.open.answers.get(one.id):
        return False
    if case.night.only == SUSPECT:
        done_as = before.turns.of(one.id).done_as
        return row is not None and row.status == "suspect" and problem is None and done_as == one.stamp
    if row is not None and row.identity == one.identity:
        return False  # nothing is to be sent for it
    if case.night.only == FAILED:
        return problem is not None
    if problem is not None and not problem.retryable:
        return False
    return not before.may_rest(one)


def _has_outcome(case: Case, one: Wanted) -> bool:
    """Whether this night gave it a transcript, or an error."""
    row, problem = case.now.rows.get(one.id), case.now.errors.get(one.id)
    return case.run_id in (row and row.run_id, problem and problem.run_id)


def _was_tried(case: Case, one: Wanted) -> bool:
    asked = {asked.identity for asked in case.ended.asked}
    appeared = one.id in case.now.rows and one.id not in case.before.rows
    return _has_outcome(case, one) or one.identity in asked or appeared

"""What must hold after each night that came to its end: everything that is wrong, a sentence each.

The checks are made from the issue and `design.md`, not from the code: where those leave a choice, both ways are let
through.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.nights.case import Case
from tests.nights.failed import errors, settled
from tests.nights.kept import lost, moved, texts
from tests.nights.order import fits, in_turn
from tests.nights.paid import paid, pieces
from tests.nights.refused import must_be_refused, untouched
from tests.nights.told import exits, figures, ledger


def problems(case: Case) -> Iterator[str]:
    """Everything that is wrong."""
    if case.ended.figures is None:
        yield from untouched(case)
        return
    yield from must_be_refused(case)
    yield from case.now.faults
    yield from lost(case)
    yield from moved(case)
    yield from texts(case)
    yield from pieces(case)
    yield from paid(case)
    yield from case.before.failing.sent_too_early(case.night, case.ended)
    yield from in_turn(case)
    yield from fits(case)
    yield from errors(case)
    yield from figures(case)
    yield from exits(case)
    yield from ledger(case)
    if case.whole:
        yield from settled(case)

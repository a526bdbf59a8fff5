"""Nights that are refused before they begin: where that must be, where it may be, and that nothing changes then."""

from __future__ import annotations

from collections.abc import Iterator

from tests.nights.case import USAGE, Case


def untouched(case: Case) -> Iterator[str]:
    """A night that was refused changes nothing, and is refused only where there is nothing to do, or for a clash."""
    there = case.wanted and any(one.state != "gone" for one in case.wanted)
    if there and not clashes(case, surely=False):
        yield f"refused with {case.ended.exit} ({case.ended.said}), though there are recordings"
    if case.ended.exit != USAGE:
        yield f"a manifest that cannot be read ended with {case.ended.exit}"
    if case.ended.asked:
        yield "a night that was refused sent something"
    if not case.before.open.manifests:
        if case.now.rows != case.before.rows:
            yield "a night that was refused changed the output"
        if len(case.now.attempts) != case.before.attempts:
            yield "a night that was refused changed the ledger"


def must_be_refused(case: Case) -> Iterator[str]:
    """Ids that another manifest gives to other audio are never replaced."""
    for id_ in clashes(case, surely=True):
        yield f"{id_} names other audio in another manifest, and the night was not refused"


def clashes(case: Case, *, surely: bool) -> list[str]:
    """Ids of this manifest that stand for other audio in another one, as their nights told; `surely` or perhaps."""
    before, manifest, found = case.before, case.night.manifest, []
    for one in case.wanted:
        if not surely:
            if any(of != manifest and path != one.path for of, path in before.ever[one.id]):
                found.append(one.id)
            continue
        owner = before.seen_by.get(one.id, manifest)
        theirs = before.listed.get(owner, {}).get(one.id)
        known = owner != manifest and one.id in before.rows and one.id not in before.doubtful
        if known and theirs is not None and one.path != theirs.path and one.state == theirs.state == "sound":
            mine, kept = one.identity, before.rows[one.id].identity
            if mine and theirs.identity and kept and mine.content not in (theirs.identity.content, kept.content):
                found.append(one.id)
    return found

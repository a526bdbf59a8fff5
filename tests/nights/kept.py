"""What was paid for: no row is lost or doubled, each text is its row's own, and nothing is answered twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tests.nights.case import Case


def lost(case: Case) -> Iterator[str]:
    """A row goes only where a new one of the same audio and settings took its place."""
    before, now = case.before, case.now.rows
    new = Counter(row.identity for id_, row in now.items() if id_ not in before.rows)
    movable = before.movable(case.night, case.wanted)
    for id_, row in before.rows.items():
        if id_ in now or id_ in before.open.moved:
            continue
        if id_ not in movable:
            yield f"the transcript of {id_} is gone"
            continue
        # after a kill it may have had another answer by then
        taken = next((one for one in (row.identity, *before.open.answers[id_]) if new[one]), None)
        if taken is None:
            yield f"the transcript of {id_} is gone, and no new row has its audio and settings"
        new[taken] -= 1


def moved(case: Case) -> Iterator[str]:
    """A renamed recording leaves no row under its old name."""
    before, now = case.before, case.now.rows
    if before.open.manifests or not case.ended.figures:
        return
    wanted = {one.id: one for one in case.wanted}
    new = Counter(row.identity for id_, row in now.items() if id_ not in before.rows and wanted[id_].by_path)
    movable = [id_ for id_ in before.movable(case.night, case.wanted) if case.before.rows[id_].identity in new]
    for identity in {before.rows[id_].identity for id_ in movable}:
        had = [id_ for id_ in movable if before.rows[id_].identity == identity]
        # what another manifest may have had last is its own
        kept = [id_ for id_ in had if id_ in now and id_ not in case.there and id_ not in before.doubtful]
        if len(kept) > max(0, len(had) - new[identity]):
            yield f"a recording was renamed, and {kept} still have their rows"


def texts(case: Case) -> Iterator[str]:
    """Each text was answered for the row's own content and settings, and replaces another only where it is newer."""
    before = case.before
    answered = before.answered | {one.identity for one in case.ended.asked if one.answered}
    wanted = {one.id: one.identity for one in case.wanted}
    configs = dict(before.configs)
    for id_, row in case.now.rows.items():
        if row.identity is None or row.identity not in answered:
            yield f"the text of {id_} was never answered: {row.identity}"
            continue
        if row.language != row.identity.language:
            yield f"the row of {id_} says {row.language}, its text {row.identity.language}"
        if not row.audio_hash.startswith(row.identity.content):
            yield f"the row of {id_} has another audio than its text: {row}"
        if configs.setdefault(row.config_hash, row.identity[1:]) != row.identity[1:]:
            yield f"one hash of settings stands for {configs[row.config_hash]} and {row.identity[1:]}, in {id_}"
        old = before.rows.get(id_)
        if old is not None and old.identity == row.identity:
            continue
        if row.identity != wanted.get(id_) and row.identity not in before.open.answers[id_]:
            yield f"{id_} wants {wanted.get(id_)} and got {row.identity}, before {old and old.identity}"

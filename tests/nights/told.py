"""What a night says of itself: exit status, figures and the spend ledger."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.pool.refusals import FIRST
from tests.nights.case import BROKE_OFF, Case
from tests.nights.failed import refused_everybody
from tests.nights.service import ACCOUNT

MANY, SHARE = 10, 0.2
"""So many recordings that are gone, and such a share of all, are told."""


def figures(case: Case) -> Iterator[str]:
    """done, failed and left are the manifest's rows as the output has them."""
    told = case.ended.figures or {}
    stands = case.standings()
    seen = {name: told[name] for name in ("done", "failed", "left")}
    if sum(seen.values()) != len(case.wanted):
        yield f"{seen} are not the manifest's {len(case.wanted)} rows"
    if told["failed"] != stands["failed"]:
        yield f"{seen} while errors.* has {stands['failed']}"
    if case.whole and told["done"] != stands["done"]:
        yield f"{seen} while {stands['done']} have the transcript they want"
    if told["done"] > sum(one.id in case.now.rows for one in case.wanted):
        yield f"{seen} while fewer rows have any transcript"
    if case.whole and "gone" in told:
        gone = sum(one.state == "gone" and case.now.has_of(one.id, one.path) for one in case.wanted)
        if told["gone"] != gone:
            yield f"gone={told['gone']} while {gone} recordings with a transcript are gone"


def exits(case: Case) -> Iterator[str]:
    """The exit status says how the night ended."""
    night, exit_, failed = case.night, case.ended.exit, case.failed_now()
    kind = night.faults.kind
    sure, perhaps = newly_gone(case)
    match case.ended.exit:
        case 0:
            if failed and not case.asked_again:
                yield f"exit 0, and failed this night: {failed}"
            if sure:
                yield "exit 0, and many recordings are gone since the last night"
        case 3:
            # a row that has the transcript it wants, and was asked for again in vain, is no error
            drew = any(not one.answered for one in case.ended.asked) or any(one.state != "sound" for one in case.wanted)
            if not failed and not perhaps and not (case.asked_again and drew):
                yield "exit 3, and nothing failed this night"
        case 4:
            if not night.is_limited:
                yield "exit 4, and no limit was set"
        case 1:
            if kind in ("ok", "refused", "open_end") and not refused_everybody(case):
                yield f"exit 1, and the service did well: {case.ended.said}"
        case 2:
            known = case.before.configs.values()
            if kind != "empty" or any(one.identity is not None and one.identity[1:] in known for one in case.wanted):
                yield f"exit 2 with {kind}, though these settings were answered before: {case.ended.said}"
        case _:
            yield f"exit {exit_}"
    refused = {one.identity for one in case.ended.asked if one.end == "refused"}
    everybody = len(refused) >= FIRST and not any(one.answered for one in case.ended.asked)
    if everybody and "failed" not in night.only and exit_ != BROKE_OFF:
        yield f"everybody was refused, and the night ended with {exit_}"
    if kind in ACCOUNT and exit_ != BROKE_OFF and any(one.end == kind for one in case.ended.asked):
        yield f"the account was {kind}, and the night ended with {exit_}"
    if case.ended.asked and exit_ != (case.ended.figures or {})["exit"]:
        yield f"exit {exit_}, and the last line says {(case.ended.figures or {})['exit']}"


def newly_gone(case: Case) -> tuple[bool, bool]:
    """Whether so many recordings went since the manifest's last night that the night must say so; whether it may."""
    if case.night.manifest in case.before.open.manifests:
        return False, True
    ids = {one.id for one in case.wanted}
    gone = {one.id for one in case.wanted if one.state == "gone"} - case.before.gone.get(case.night.manifest, set())
    known = set(case.before.listed.get(case.night.manifest, ()))
    vanished = known - ids
    # those of its last night; one that another manifest had since is that one's
    mine = {id_ for id_ in known - case.before.doubtful if case.before.seen_by.get(id_) == case.night.manifest}
    kept = {id_ for id_ in gone & mine if id_ in case.before.rows}
    left = {id_ for id_ in vanished & mine if id_ in case.now.rows} if case.over_folder else set()
    sure = any(len(lost) >= MANY and len(lost) >= SHARE * len(of) for lost, of in ((kept, ids), (left, known)))
    return sure, len(gone) >= SHARE * max(1, len(ids)) or len(vanished) >= SHARE * max(1, len(known))


def ledger(case: Case) -> Iterator[str]:
    """Every request is in the ledger, for no less than the service billed, and never over the budget."""
    mine = [attempt for attempt in case.now.attempts if attempt.run_id == case.run_id]
    asked, spent = case.ended.asked, sum(attempt.credits for attempt in mine)
    billed = sum(one.billed for one in asked)
    # an attempt whose file could not be read never came to the service
    if not len(asked) <= len(mine) <= len(asked) + sum(attempt.outcome.startswith("Audio") for attempt in mine):
        yield f"the service saw {len(asked)} requests, the ledger has {len(mine)}"
    if spent + 1e-6 < billed:
        yield f"the service billed {billed:.3f} credits, the ledger has {spent:.3f}"
    if len(case.now.attempts) < case.before.attempts + len(mine):
        yield "the ledger lost requests of earlier nights"
    told = case.ended.figures or {}
    if abs(told["credits"] - spent) > 0.01:
        yield f"credits={told['credits']}, the ledger says {spent:.3f}"
    if case.night.budget is not None and spent > case.night.budget + 1e-6:
        yield f"--budget {case.night.budget} and {spent:.3f} spent"

"""Decides whether the service refuses single recordings or everything, by the first refusals of a run.

They are held back. If most of the first recordings get the same refusal and none is answered in between, the run ends
and each of them may be tried again; otherwise each refusal is final for its recording. Pure: no I/O.
"""

from __future__ import annotations

import re
from collections import defaultdict

from pipeline.errors import (
    AccountDoubted,
    AttemptError,
    GradiumBatchError,
    ProtocolFault,
    RefusesAll,
    UnconfirmedRefusal,
)
from pipeline.failures import ALIKE, consequence_of
from pipeline.pool.account import suspected_by
from pipeline.pool.job import Job

FIRST = 8
"""The first recordings of a run that decide: ALIKE of them have to get the same refusal."""
PROBES_ALIKE = 6
"""Probes with the same refusal that end a run in which nothing was answered: about a minute."""
MAX_QUOTED = 200
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`")
_PARTICULAR = re.compile(r"[/\\\d]")
"""What a word has in it that is a path, a number or an id."""
_NO_LETTERS = re.compile(r"[\W_]+")


def same_words(message: str) -> str:
    """A refusal's words without those that differ by recording: quoted names, paths, numbers and ids."""
    words = _QUOTED.sub(" ", message.lower()).split()
    return " ".join(_NO_LETTERS.sub(" ", " ".join(word for word in words if not _PARTICULAR.search(word))).split())


class FirstRefusals:
    """Holds a run's first refusals until it is known whether they concern single recordings."""

    def __init__(self, *, watches: bool) -> None:
        """Without `watches` nothing is held: the user retries failed recordings, which may all be refused again."""
        self.end: GradiumBatchError | None = None
        """The error that ends the run."""
        self._held: list[tuple[Job, AttemptError]] = []
        self._doubts = self._watches = watches
        self._any_answered = False
        self._refused: set[str] = set()
        """Ids of recordings that were refused, at most two."""
        self._seen: set[str] = set()
        """Ids of the first recordings that were answered or refused."""
        self._alike: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        """Ids of recordings by their refusal, since the last answer."""
        self._probed = ("", 0)
        """The refusal of the last probes, and how many of them had it."""

    @property
    def holds(self) -> bool:
        """Whether refusals are held back."""
        return bool(self._held)

    def answered(self, job: Job) -> None:
        """A clip was answered."""
        self._seen.add(job.request.id)
        self._alike.clear()
        self._any_answered = True
        self._watches &= len(self._seen) + ALIKE <= FIRST

    def refused(self, job: Job, error: AttemptError) -> bool:
        """Returns whether the refusal is held; may set `end`."""
        recording = job.request.id
        if suspected_by(error) is not None:
            return False  # a page that denies access, and an account that the balance has cleared: it may pass
        if len(self._refused) < 2:
            self._refused.add(recording)
        if not self._watches:
            return False
        self._held.append((job, error))
        self._seen.add(recording)
        met = self._alike[_kind(error)]
        met.add(recording)
        if len(met) >= ALIKE:
            self.end = self.end or _end(error, f"{len(met)} of the first recordings were")
        most = max(len(recordings) for recordings in self._alike.values())
        self._watches = self.end is not None or most + FIRST - len(self._seen) >= ALIKE
        return True

    def probe_refused(self, error: AttemptError) -> None:
        """A probe was refused; may set `end`."""
        words, before = same_words(error.said), self._probed
        self._probed = words, before[1] + 1 if words == before[0] else 1
        if self._doubts and not self._any_answered and self._probed[1] >= PROBES_ALIKE:
            self.end = _end(error, "each recording that was sent was")

    @property
    def none_answered(self) -> bool:
        """Whether several recordings were refused and none was answered."""
        return self._doubts and not self._any_answered and len(self._refused) > 1

    def release(self, *, over: bool, stalled: bool) -> list[tuple[Job, AttemptError]]:
        """Those no longer held: it is decided, the source is `over`, or nothing else can be sent (`stalled`)."""
        self._watches &= not over
        if self._watches and self.end is None and not stalled:
            return []
        held, self._held = self._held, []
        return held


def _kind(error: AttemptError) -> tuple[str, str]:
    # without the status: two machines may send the same text with different ones
    return type(error).__name__, same_words(error.said)


def unconfirmed(error: AttemptError) -> AttemptError:
    """A refusal of the audio as UnconfirmedRefusal, which is tried again; any other error unchanged."""
    return error.as_class(UnconfirmedRefusal) if consequence_of(error).is_of_the_audio else error


def _end(error: AttemptError, who: str) -> GradiumBatchError:
    said = " ".join(error.message.split())[:MAX_QUOTED]
    refused = f"{who} refused with the same words and none was answered: {said}"
    if isinstance(error, AccountDoubted):
        return error.as_account(refused)
    if isinstance(error, ProtocolFault):
        return RefusesAll(
            f"{refused}; nothing more is sent and no recording is given up: that the requests break the service's "
            "protocol is a fault of gradium-batch, please report it with these words"
        )
    return RefusesAll(
        f"{refused}; nothing more is sent and no recording is given up for good: run the same command again later, or, "
        "where the recordings are at fault, with --only new --only changed --only failed: each is refused for good then"
    )

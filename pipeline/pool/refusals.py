"""Whether the service refuses the recordings, or everything: what it says of a run's first ones is held back.

Where one and the same refusal meets most of the first recordings and none is answered in between, it is not about one
of them: the run ends, and each of them may be tried again. Else each refusal is its recording's own. Pure: no I/O.
"""

from __future__ import annotations

import re
from collections import defaultdict

from pipeline.errors import (
    AccessDenied,
    AttemptError,
    CreditsSpent,
    GradiumBatchError,
    KeyRefused,
    RefusesAll,
    UnconfirmedRefusal,
)
from pipeline.failures import consequence_of
from pipeline.pool.job import Job

FIRST = 8
"""Recordings of a run that tell, and …"""
ALIKE = 5
"""… how many of them the same refusal has to meet."""
PROBES_ALIKE = 6
"""Probes of an outage that are refused with the same words, where nothing was ever answered: about a minute."""
MAX_QUOTED = 200
PAYMENT_REQUIRED = 402
DENIED = (401, PAYMENT_REQUIRED, 403)
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`")
_PARTICULAR = re.compile(r"[/\\\d]")
"""In a name or a number: a path or an id."""
_NO_LETTERS = re.compile(r"[\W_]+")


def same_words(message: str) -> str:
    """A refusal's words without what differs from recording to recording: quoted names, paths, numbers and ids."""
    words = _QUOTED.sub(" ", message.lower()).split()
    return " ".join(_NO_LETTERS.sub(" ", " ".join(word for word in words if not _PARTICULAR.search(word))).split())


class FirstRefusals:
    """Holds a run's first refusals until it is known whose fault they are."""

    def __init__(self, *, watches: bool) -> None:
        """Without `watches` nothing is held: the user asked for those that failed, which may all be refused again."""
        self.end: GradiumBatchError | None = None
        """Why nothing more is to be sent."""
        self._held: list[tuple[Job, AttemptError]] = []
        self._doubts = self._watches = watches
        self._any_answered = False
        self._refused: set[str] = set()
        """Recordings that were refused, up to two."""
        self._seen: set[str] = set()
        """The first recordings that were answered or refused."""
        self._alike: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        """Recordings by what they were refused with since the last answer."""
        self._probed = ("", 0)
        """What the last probes were refused with, and how many of them."""

    @property
    def holds(self) -> bool:
        """Whether refusals are held back, because they may not be their clips' own."""
        return bool(self._held)

    def answered(self, job: Job) -> None:
        """A clip was answered."""
        self._seen.add(job.request.id)
        self._alike.clear()
        self._any_answered = True
        self._watches &= len(self._seen) + ALIKE <= FIRST

    def refused(self, job: Job, error: AttemptError) -> bool:
        """Whether the refusal is held. With it `end` may be set."""
        recording = job.request.id
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
        """A probe of an outage was refused with words that may be the service's. `end` is set when it is enough."""
        words, before = same_words(error.message), self._probed
        self._probed = words, before[1] + 1 if words == before[0] else 1
        if self._doubts and not self._any_answered and self._probed[1] >= PROBES_ALIKE:
            self.end = _end(error, "each recording that was sent was")

    @property
    def none_answered(self) -> bool:
        """Whether several recordings were refused and none was answered: it is not known whose fault that is."""
        return self._doubts and not self._any_answered and len(self._refused) > 1

    def release(self, *, over: bool, stalled: bool) -> list[tuple[Job, AttemptError]]:
        """Those that are held no longer: it is known whose fault they are, or all is `over`, or `stalled`."""
        self._watches &= not over
        if self._watches and self.end is None and not stalled:
            return []
        held, self._held = self._held, []
        return held


def _kind(error: AttemptError) -> tuple[str, str]:
    # whatever the status: two machines may say the same thing with two of them
    return type(error).__name__, same_words(error.message)


def unconfirmed(error: AttemptError) -> AttemptError:
    """A refusal as what it is while nothing else was answered: it may pass."""
    return UnconfirmedRefusal.of(error) if consequence_of(error).is_of_the_audio else error


def _end(error: AttemptError, who: str) -> GradiumBatchError:
    said = " ".join(error.message.split())[:MAX_QUOTED]
    refused = f"{who} refused with the same words and none was answered: {said}"
    if isinstance(error, AccessDenied) and error.http_status in DENIED:
        if error.http_status == PAYMENT_REQUIRED:
            return CreditsSpent(f"{refused} (HTTP 402)", http_status=error.http_status)
        return KeyRefused(f"{refused} (HTTP {error.http_status}, as for a bad key)", http_status=error.http_status)
    return RefusesAll(
        f"{refused}; nothing more is sent and no recording is given up for good: run the same command again later, or, "
        "where the recordings are at fault, with --only new --only changed --only failed: each is refused for good then"
    )

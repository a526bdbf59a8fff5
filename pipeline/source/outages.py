"""Repeats what fails at a source, by the table of failures, and waits while a source is out.

Blocking, for many threads: while a source is out, one of them probes and the others wait.
"""

from __future__ import annotations

import logging
import threading
import time

import tenacity

from pipeline.errors import AttemptError, SourceOut, SourceRefusesAll, SourceTimeout, Stopped
from pipeline.failures import ALIKE, consequence_of
from pipeline.source.place import Place
from pipeline.source.rules import Rules

IN_A_ROW = 10
"""So many failures in a row, of at least …"""
RECORDINGS = 8
"""… so many recordings, are an outage: as for the service, see pool/breaker.py."""
LONGEST_PAUSE_S = 30.0
FEW = 3
"""After so many recordings that a web host did not describe, it is asked once for each of the others."""
ALONE_S = 30.0
"""A web host that is out for so long is out alone, if another source answered when it was last asked."""
STEP_S = 0.2
"""A stop is noticed so soon."""
MUCH_BYTES = 1 << 20
"""An attempt that brought so much does not count: the next one goes on from there."""
log = logging.getLogger(__name__)


class Outages:
    """The state of the sources of one run."""

    def __init__(self, rules: Rules, stopped: threading.Event) -> None:
        """Waiting ends with Stopped once `stopped` is set."""
        self.rules = rules
        self.lock = threading.Lock()
        self.has_local = False
        """Some recordings lie in local files, which are always handed out."""
        self._stopped = stopped
        self._places: dict[str, Place] = {}

    def place(self, name: str) -> Place:
        with self.lock:
            return self._places.setdefault(name, Place(name))

    def others_answer(self, place: Place, now: float) -> bool:
        """Whether other sources are there while one is out. Under the lock."""
        since = place.out_since or now
        others = [one for one in self._places.values() if one is not place]
        if now - since > ALONE_S and any(one.answered_at and not one.failed for one in others):
            return True  # nothing more may be asked of them
        return any(one.answered_at > since for one in others)

    def others_hand_out(self, place: Place) -> bool:
        """Whether one of the other sources answers, and refuses no recording or not all. Under the lock."""
        others = [one for one in self._places.values() if one is not place and one.has_answered]
        return self.has_local or any(one.has_handed_out or not one.refused for one in others)

    def pause(self, seconds: float) -> None:
        """Raises Stopped."""
        if self._stopped.wait(seconds):
            raise Stopped


class Attempts:
    """The attempts at one recording of a source:

    while True:
        attempts.begin()
        try:
            result = ...
        except AttemptError as error:
            attempts.failed(error)
        else:
            attempts.succeeded()
            return result
    """

    def __init__(
        self,
        outages: Outages,
        name: str,
        address: str,
        *,
        counts_refusals: bool = False,
        failed_before: bool = False,
        only_describes: bool = False,
        is_manifest: bool = False,
    ) -> None:
        """`name` is the source's. `counts_refusals`: where it refuses all at first, that ends the run; one that
        `failed_before`, in an earlier run, says nothing of others while the source answers. `only_describes`: a web
        host that is out is not waited for, so that the recordings of others are asked for. `is_manifest`: without it
        there is nothing to do, so that a source that fails is waited for as one that is out."""
        self._outages, self._place, self._address = outages, outages.place(name), address
        self._counts_refusals, self._failed_before = counts_refusals, failed_before
        self._waits = self._place.waits or not only_describes
        self._is_manifest = is_manifest
        self._used = 0
        self._is_probe = self._is_alone = False
        rules = outages.rules
        self._pauses = tenacity.wait_random_exponential(multiplier=rules.base_s, max=rules.max_s)

    def begin(self) -> None:
        """Waits while the source is out, except for one caller at a time, who probes. Raises SourceOut or Stopped."""
        place = self._place
        while True:
            with self._outages.lock:
                if place.given_up:
                    raise SourceOut(place.given_up)
                if place.out_since is None or place.is_out_alone or not self._waits:
                    return
                left = place.next_probe - time.monotonic()
                if left <= 0 and not place.is_probed:
                    place.is_probed = self._is_probe = True
                    return
            self._outages.pause(min(STEP_S, max(left, 0.01)))

    @property
    def probe_address(self) -> str:
        """Where this one probed in vain, a recording that was answered for before: whether the source answers for that
        tells whether it is out. "" where there is none."""
        return self._place.answered if self._is_probe else ""

    def answered_for_another(self) -> None:
        """The source answered for another recording, so that the next failure is this one's own."""
        with self._outages.lock:
            self._answered()
        self._is_alone = True

    def succeeded(self) -> None:
        """The source answered."""
        with self._outages.lock:
            self._answered()
            self._place.has_answered = True
            if not self._address.endswith("/"):  # a prefix
                self._place.answered = self._address
            self._place.has_handed_out |= self._counts_refusals

    def abandoned(self) -> None:
        """It ended without saying anything of the source: another caller may probe it."""
        with self._outages.lock:
            if self._is_probe:
                self._is_probe = self._place.is_probed = False

    def failed(self, error: AttemptError, brought_bytes: int = 0) -> None:
        """Waits for the next attempt. Raises the error where there is none; SourceOut after too long an outage;
        SourceRefusesAll where the source refuses everybody; Stopped."""
        follows = consequence_of(error)
        if follows.retry == "no":
            with self._outages.lock:
                self._answered()
                if self._counts_refusals and follows.ends_run == "first refused":
                    self._refused(error)
            raise error
        is_alone, self._is_alone = self._is_alone, False
        may_be_out = follows.may_be_unreachable or (self._is_manifest and _is_of_the_source(error))
        if not is_alone and self._is_outage(error, unreachable=may_be_out):
            return
        self._used += brought_bytes < MUCH_BYTES
        most = 1 if self._place.not_described >= FEW and not self._waits else self._outages.rules.max_attempts
        if self._used >= most:
            self._place.not_described += not self._waits
            raise error
        state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
        state.attempt_number = max(1, self._used)
        self._outages.pause(max(self._pauses(state), min(error.retry_after_s or 0.0, self._outages.rules.max_s)))

    def _answered(self) -> None:
        place = self._place
        if place.out_since is not None:
            log.warning("%s answers again", place.name)
        place.answered_at = time.monotonic()
        place.failed.clear()
        place.not_described = 0
        place.out_since, self._is_probe, place.is_probed, place.is_out_alone = None, False, False, False

    def _refused(self, error: AttemptError) -> None:
        place = self._place
        if place.has_handed_out or (self._failed_before and place.has_answered):
            return
        if len(place.refused) < ALIKE:
            place.refused.add(self._address)
        if len(place.refused) >= ALIKE and not self._outages.others_hand_out(place):
            raise SourceRefusesAll(
                f"{place.name} refused the first {len(place.refused)} recordings that were read from it ({error}); "
                "nothing more was sent: check the credentials and rights for it, then run again"
            )

    def _is_outage(self, error: AttemptError, *, unreachable: bool) -> bool:
        """Whether the source is out, so that no attempt is used up. Raises SourceOut."""
        place, now = self._place, time.monotonic()
        with self._outages.lock:
            was_probe, self._is_probe = self._is_probe, False
            if was_probe:
                place.is_probed = False
            place.failed.append(self._address)
            del place.failed[:-IN_A_ROW]
            in_a_row = len(place.failed) >= IN_A_ROW and len({*place.failed}) >= RECORDINGS
            if not self._waits or (place.out_since is None and not unreachable and not in_a_row):
                return False
            if not place.waits and self._outages.others_answer(place, now):
                place.is_out_alone = place.out_since is not None
                return False
            if place.out_since is None:
                place.out_since, place.pause_s = now, self._outages.rules.probe_s
                place.next_probe = now + place.pause_s
                log.warning("%s is out (%s): it is asked again until it answers", place.name, error)
            elif was_probe:
                place.pause_s = min(LONGEST_PAUSE_S, 2 * place.pause_s)
                place.next_probe = now + place.pause_s
            out_s = now - place.out_since
            if out_s > self._outages.rules.outage_max_s:
                place.given_up = (
                    f"{place.name} was out for {out_s:,.0f} s, longer than retry.outage_max_s ({error}); "
                    "what was answered is kept: run again once it answers"
                )
                raise SourceOut(place.given_up)
        return True


def _is_of_the_source(error: AttemptError) -> bool:
    """Whether it fails or is overloaded, by its own words, or is too slow."""
    return isinstance(error, SourceTimeout) or (error.http_status or 0) >= 500 or error.http_status == 429

"""An utterance on its way: which of its clips have their answer, and how the answers become its transcript.

Pure: no I/O. The recorder owns these records, and knows what is to be done when one is settled.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from pipeline.audio.probe import length_of
from pipeline.audio.spans import MIN_SAMPLES
from pipeline.audio.tracks import SAMPLE_RATE
from pipeline.checkpoint import Identity, Selected
from pipeline.checkpoint.known_failures import KnownFailure
from pipeline.errors import AttemptError, is_of_the_file
from pipeline.model import Answer, Clip, ClipResult, Transcript, Utterance, Word
from pipeline.report import wer
from pipeline.run.gaps import gap_flags, naming
from pipeline.run.given_up import GivenUp

NO_WORDS = "no_words"
CLIP_WITHOUT_WORDS = "clip_without_words"


class Leader:
    """An utterance whose audio is with the decoders or with the pool, and the others that wait for what comes of it."""

    def __init__(self, selected: Selected, identity: Identity, marks: bytes) -> None:
        self.selected = selected
        self.identity = identity
        self.marks = marks
        """By which a beginning of its audio is known."""
        self.followers: list[Selected] = []
        """Other utterances with the same audio and settings: they get the same transcript, or the service's refusal."""
        self.more = array("q")
        """The numbers of those behind them."""
        self.duration_s = 0.0
        self.flags: tuple[str, ...] = ()
        self.results: dict[int, ClipResult] = {}
        """Answers by clip, those of earlier runs included."""
        self.requests = 0
        """Requests sent for its clips in this run."""
        self.error: AttemptError | None = None
        """Why the first clip that was given up was."""
        self.error_clip: int | None = None
        self.needs = 0.0
        """Credits of the dearest of its clips that the budget did not let through; 0 where it did."""
        self.takes_over = False
        """It has failed before, and is not to be sent in this run."""
        self.before: KnownFailure | None = None
        """How its audio failed before."""
        self._sent_in_vain = self._heard_now = False
        self._paid_in_vain: tuple[Clip, AttemptError] | None = None
        """A request of this run that failed and may have been billed."""
        self._clips: dict[int, Clip] = {}
        self._unanswered = 0
        """Clips that were given up or passed over."""
        self._release: Callable[[], None] = lambda: None

    def expect(
        self,
        clips: Sequence[Clip],
        *,
        duration_s: float,
        flags: tuple[str, ...],
        answered: Sequence[ClipResult],
        release: Callable[[], None],
    ) -> list[Clip]:
        """Takes its clips; returns those that `answered`, of earlier runs, has no result for. `release` is called when
        none of them will be sent any more."""
        known = {result.key: result for result in answered}
        self._clips = {clip.clip: clip for clip in clips}
        self.results = {clip.clip: _as_clip(clip, known[clip.key]) for clip in clips if clip.key in known}
        self.duration_s, self.flags, self._release = duration_s, flags, release
        return [clip for clip in clips if clip.clip not in self.results]

    def failed_before(self, known: KnownFailure, *, takes_over: bool) -> None:
        """Its audio has failed before, maybe under another id; `takes_over`: it is not sent, and fails as that did."""
        self.before, self.takes_over = known, takes_over
        # they were all sent for this audio
        attempts = max(self.selected.attempts, known.failure.attempts)
        self.selected = msgspec.structs.replace(self.selected, attempts=attempts)

    @property
    def several(self) -> bool:
        """It has more clips than one, so that each answer is kept for itself until all are there."""
        return len(self._clips) > 1

    @property
    def settled(self) -> bool:
        """Each clip has its answer, or gets none in this run."""
        return len(self.results) + self._unanswered == len(self._clips)

    def share(self, clip: Clip) -> float:
        """What part of the utterance the clip is."""
        return clip.duration_s / max(sum(other.duration_s for other in self._clips.values()), 1e-9)

    def answered(self, clip: Clip, answer: Answer, *, latency_s: float, cost: float) -> ClipResult:
        """A clip has its answer; returns it on the utterance's clock."""
        result = ClipResult(
            clip=clip.clip,
            key=clip.key,
            start_s=clip.start_s,
            words=_shifted(answer.words, clip.start_s),
            flags=answer.flags,
            request_id=answer.request_id,
            model=answer.model,
            latency_s=latency_s,
            credits=cost,
            audio_bytes=length_of(self.marks),
        )
        self.results[clip.clip] = result
        self._heard_now = True
        return result

    def given_up(self, clip: Clip, error: AttemptError, *, requests: int) -> None:
        """A clip gets no answer in this run, for which `requests` were sent; the others go on."""
        self._unanswered += 1
        # what the file itself is to blame for costs nothing the next time either
        self._sent_in_vain |= requests > 0 and not is_of_the_file(error)
        if self.error is None:
            self.error, self.error_clip = error, clip.clip

    def retried(self, clip: Clip, error: AttemptError) -> None:
        """A request for a clip failed, and is to be sent again."""
        if error.billed != "no":
            self._paid_in_vain = clip, error

    def passed_over(self, cost: float) -> None:
        """A clip of this price does not fit the budget; the others go on."""
        self._unanswered += 1
        self.needs = max(self.needs, cost)
        if self.settled and self.error is None and self._paid_in_vain and not self._heard_now and self.selected.tries:
            # as in the run before, the budget was spent on requests that failed: that would never end
            clip, self.error = self._paid_in_vain
            self.error_clip, self._sent_in_vain = clip.clip, True

    def why(self, error: AttemptError | None, partial: Transcript | None) -> GivenUp:
        """Why it has no transcript: `error` is its own; without one it is how its audio failed before. Of several clips
        the message names the one."""
        if error is not None and self.error_clip is not None and self.several:
            clip, missing = self._clips[self.error_clip], len(self._clips) - len(self.results)
            error = naming(
                error, clip, clips=len(self._clips), missing=missing, several_channels=self._several_channels
            )
        return GivenUp(
            error=error,
            known=self.before.failure if error is None and self.before is not None else None,
            identity=self.identity if self.before is None else self.before.identity,
            clip=self.error_clip,
            # what the budget kept back of it is no failure: while others are answered the next run goes on with it
            was_sent=self._sent_in_vain and not (self.needs and self._heard_now),
            partial=partial,
            answered_s=round(sum(self._clips[number].duration_s for number in self.results), 3),
            heard_now=self._heard_now,
            marks=self.marks,
        )

    def release(self) -> None:
        """Nothing of it will be sent any more."""
        self._release()
        self._release = lambda: None

    def joined(self, **about: Any) -> Transcript:
        """The transcript of its clips, with a flag for each gap; `about` are the fields that no clip knows."""
        results = [self.results[number] for number in sorted(self.results)]
        words = sorted((word for result in results for word in result.words), key=lambda word: word.start_s)
        missing = [clip for number, clip in self._clips.items() if number not in self.results]
        gaps = gap_flags(missing, several_channels=self._several_channels)
        flags = (*self.flags, *self._odd(results), *gaps)
        return Transcript(
            id=self.selected.utterance.id,
            audio=self.selected.utterance.audio,
            text=" ".join(word.text for word in words),
            words=tuple(words),
            duration_s=self.duration_s,
            status="suspect" if flags else "ok",
            flags=flags,
            model=next((result.model for result in results if result.model), None),
            audio_hash=self.identity.audio_hash,
            config_hash=self.identity.config_hash,
            request_ids=tuple(result.request_id for result in results if result.request_id),
            attempts=self.selected.attempts + self.requests,
            latency_s=sum(result.latency_s for result in results),
            credits=sum(result.credits for result in results),
            **about,
        )

    @property
    def _several_channels(self) -> bool:
        return len({clip.channel for clip in self._clips.values()}) > 1

    def _odd(self, results: Sequence[ClipResult]) -> list[str]:
        """Flags of the clips as flags of the whole. A scrap between others that has no words is nothing odd."""
        least_s = MIN_SAMPLES / SAMPLE_RATE
        worth = [one for one in results if NO_WORDS not in one.flags or self._clips[one.clip].duration_s >= least_s]
        results = worth or results
        odd = dict.fromkeys(flag for result in results for flag in result.flags)
        silent = [result for result in results if NO_WORDS in result.flags]
        if silent and len(silent) < len(results):
            del odd[NO_WORDS]
            # on one of several channels nobody may speak for minutes; in the whole recording that is rarer
            if not self._several_channels:
                odd[CLIP_WITHOUT_WORDS] = None
        return list(odd)


def retold(transcript: Transcript, utterance: Utterance, **changes: Any) -> Transcript:
    """The transcript as the row of `utterance`: with its id, path, reference and metadata."""
    compared = None if utterance.reference is None else wer.compare(utterance.reference, transcript.text)
    return msgspec.structs.replace(
        transcript,
        id=utterance.id,
        audio=utterance.audio,
        reference=utterance.reference,
        wer=None if compared is None else compared.wer,
        metadata=utterance.metadata,
        **changes,
    )


def word_errors(transcript: Transcript) -> dict[str, int]:
    """What the checkpoint sums up to the corpus's word error rate."""
    if transcript.reference is None:
        return {}
    compared = wer.compare(transcript.reference, transcript.text)
    return {"ref_words": compared.words, "ref_errors": compared.errors}


def _as_clip(clip: Clip, result: ClipResult) -> ClipResult:
    """An answer to the same samples as that of this clip: with its number, and on its utterance's clock."""
    shift_s = 0.0 if result.start_s is None else clip.start_s - result.start_s
    words = tuple(msgspec.structs.replace(word, clip=clip.clip) for word in _shifted(result.words, shift_s))
    return msgspec.structs.replace(result, clip=clip.clip, start_s=clip.start_s, words=words)


def _shifted(words: tuple[Word, ...], by_s: float) -> tuple[Word, ...]:
    if not by_s:
        return words
    return tuple(
        msgspec.structs.replace(
            word,
            start_s=round(by_s + word.start_s, 3),
            stop_s=None if word.stop_s is None else round(by_s + word.stop_s, 3),
        )
        for word in words
    )

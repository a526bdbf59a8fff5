"""How the answers of an utterance's clips become one transcript, and a transcript the row of another utterance.

Pure: no I/O, no state.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from pipeline.audio.spans import MIN_SAMPLES
from pipeline.audio.tracks import SAMPLE_RATE
from pipeline.checkpoint.identity import GAP
from pipeline.exchange import Clip
from pipeline.model import Answer, ClipResult, Transcript, Utterance, Word
from pipeline.report import wer

NO_WORDS = "no_words"
CLIP_WITHOUT_WORDS = "clip_without_words"
TOUCHING_S = 0.001


def result_of(clip: Clip, answer: Answer, *, latency_s: float, cost: float, audio_bytes: int) -> ClipResult:
    """A clip's answer on the clock of its utterance."""
    return ClipResult(
        clip=clip.number,
        key=clip.key,
        start_s=clip.start_s,
        words=_shifted(answer.words, clip.start_s),
        flags=answer.flags,
        request_id=answer.request_id,
        model=answer.model,
        latency_s=latency_s,
        credits=cost,
        audio_bytes=audio_bytes,
    )


def earlier_result(clip: Clip, result: ClipResult) -> ClipResult:
    """An answer to the same samples, of an earlier run or another utterance, as the result of this clip."""
    shift_s = 0.0 if result.start_s is None else clip.start_s - result.start_s
    words = tuple(msgspec.structs.replace(word, clip=clip.number) for word in _shifted(result.words, shift_s))
    return msgspec.structs.replace(result, clip=clip.number, start_s=clip.start_s, words=words)


def joined(clips: Mapping[int, Clip], results: Mapping[int, ClipResult], **about: Any) -> Transcript:
    """The transcript of the clips that have a result, with a flag for each gap. `about` are the fields that
    clips do not have; its `flags` come first."""
    in_order = [results[number] for number in sorted(results)]
    words = sorted((word for result in in_order for word in result.words), key=lambda word: word.start_s)
    missing = [clip for number, clip in clips.items() if number not in results]
    several = has_several_channels(clips.values())
    of_clips = _flags_of(in_order, clips, several_channels=several)
    flags = (*about.pop("flags"), *of_clips, *gap_flags(missing, several_channels=several))
    return Transcript(
        text=" ".join(word.text for word in words),
        words=tuple(words),
        status="suspect" if flags else "ok",
        flags=flags,
        model=next((result.model for result in in_order if result.model), None),
        request_ids=tuple(result.request_id for result in in_order if result.request_id),
        latency_s=sum(result.latency_s for result in in_order),
        credits=sum(result.credits for result in in_order),
        **about,
    )


def has_several_channels(clips: Collection[Clip]) -> bool:
    return len({clip.channel for clip in clips}) > 1


def gap_flags(missing: Sequence[Clip], *, several_channels: bool) -> list[str]:
    """`gap 3600.0-3870.5`, in seconds on the utterance's clock; clips behind each other make one gap."""
    spans: list[tuple[int, float, float]] = []
    for clip in sorted(missing, key=lambda clip: (clip.channel, clip.start_s)):
        start_s, stop_s = clip.start_s, clip.start_s + clip.duration_s
        if spans and spans[-1][0] == clip.channel and start_s - spans[-1][2] < TOUCHING_S:
            start_s = spans.pop()[1]
        spans.append((clip.channel, start_s, stop_s))
    return [
        f"{GAP}{start_s:.1f}-{stop_s:.1f}" + (f" channel {channel}" if several_channels else "")
        for channel, start_s, stop_s in spans
    ]


def for_row(transcript: Transcript, utterance: Utterance, **changes: Any) -> Transcript:
    """The transcript as the output row of `utterance`: with its id, path, reference and metadata."""
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


def _flags_of(results: Sequence[ClipResult], clips: Mapping[int, Clip], *, several_channels: bool) -> list[str]:
    """Flags of the clips as flags of the whole. A very short clip without words between others adds none."""
    least_s = MIN_SAMPLES / SAMPLE_RATE
    counted = [one for one in results if NO_WORDS not in one.flags or clips[one.clip].duration_s >= least_s]
    results = counted or results
    flags = dict.fromkeys(flag for result in results for flag in result.flags)
    silent = [result for result in results if NO_WORDS in result.flags]
    if silent and len(silent) < len(results):
        del flags[NO_WORDS]
        # one of several channels is often silent for minutes, a whole recording seldom
        if not several_channels:
            flags[CLIP_WITHOUT_WORDS] = None
    return list(flags)


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

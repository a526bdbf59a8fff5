"""How the answers of an utterance's clips become one transcript, and a transcript the row of another utterance.

Pure: no I/O, no state.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from pipeline.audio.spans import MIN_SAMPLES
from pipeline.audio.tracks import SAMPLE_RATE
from pipeline.checkpoint.identity import GAP
from pipeline.clips import ClipResult
from pipeline.exchange import Answer, Clip
from pipeline.model import CREDITS_DIGITS, LATENCY_DIGITS, WER_DIGITS, ClipTimes, Transcript, Utterance, Word
from pipeline.report import wer
from pipeline.segments import segments_of, text_of
from pipeline.times import on_other_clock

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
        times=None if answer.times is None else on_other_clock(answer.times, clip.start_s, clip.number),
        issues=answer.issues,
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
    times = None if result.times is None else on_other_clock(result.times, shift_s, clip.number)
    return msgspec.structs.replace(result, clip=clip.number, start_s=clip.start_s, words=words, times=times)


def joined(clips: Mapping[int, Clip], results: Mapping[int, ClipResult], **about: Any) -> Transcript:
    """The transcript of the clips that have a result, with an issue for each gap. `about` are the fields that
    clips do not have; its `issues` come first."""
    in_order = [results[number] for number in sorted(results)]
    words = sorted((word for result in in_order for word in result.words), key=lambda word: word.start_s)
    missing = [clip for number, clip in clips.items() if number not in results]
    several = has_several_channels(clips.values())
    of_clips = _issues_of(in_order, clips, several_channels=several)
    issues = (*about.pop("issues"), *of_clips, *gap_issues(missing, several_channels=several))
    segments = segments_of(words)
    return Transcript(
        text=text_of(segments),
        words=tuple(msgspec.structs.replace(word, written=UNSET) if word.written else word for word in words),
        segments=segments,
        status="suspect" if issues else "ok",
        issues=issues,
        model=next((result.model for result in in_order if result.model), None),
        request_ids=tuple(result.request_id for result in in_order if result.request_id),
        latency_s=round(sum(result.latency_s for result in in_order), LATENCY_DIGITS),
        credits=round(sum(result.credits for result in in_order), CREDITS_DIGITS),
        clip_times=_times_of(in_order),
        **about,
    )


def has_several_channels(clips: Collection[Clip]) -> bool:
    return len({clip.channel for clip in clips}) > 1


def gap_issues(missing: Sequence[Clip], *, several_channels: bool) -> list[str]:
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
    """The transcript as the output row of `utterance`: with its id, path, span, channel, reference and metadata, and
    with `changes`."""
    fields: dict[str, Any] = {
        "id": utterance.id,
        "audio": utterance.audio,
        "offset_s": utterance.offset_s,
        "span_s": utterance.duration_s,
        "channel": utterance.channel,
        "reference": utterance.reference,
        "metadata": utterance.metadata,
    }
    return with_word_error_rate(msgspec.structs.replace(transcript, **(fields | changes)))


def with_word_error_rate(row: Transcript) -> Transcript:
    """The row with the word error rate of its text."""
    compared = None if row.reference is None else wer.compare(row.reference, row.text)
    figure = None if compared is None or compared.wer is None else round(compared.wer, WER_DIGITS)
    return msgspec.structs.replace(row, wer=figure)


def with_service(row: Transcript, owner: str | None) -> Transcript:
    """The row with who answered: the owner of the output, which is known once it answers."""
    return row if row.service is not None else msgspec.structs.replace(row, service=owner)


def word_errors(transcript: Transcript) -> dict[str, int]:
    """What the checkpoint sums up to the corpus's word error rate."""
    if transcript.reference is None:
        return {}
    compared = wer.compare(transcript.reference, transcript.text)
    return {"ref_words": compared.words, "ref_errors": compared.errors}


def _issues_of(results: Sequence[ClipResult], clips: Mapping[int, Clip], *, several_channels: bool) -> list[str]:
    """Issues of the clips as issues of the whole. A very short clip without words between others adds none."""
    least_s = MIN_SAMPLES / SAMPLE_RATE
    counted = [one for one in results if NO_WORDS not in one.issues or clips[one.clip].duration_s >= least_s]
    results = counted or results
    issues = dict.fromkeys(issue for result in results for issue in result.issues)
    silent = [result for result in results if NO_WORDS in result.issues]
    if silent and len(silent) < len(results):
        del issues[NO_WORDS]
        # one of several channels is often silent for minutes, a whole recording seldom
        if not several_channels:
            issues[CLIP_WITHOUT_WORDS] = None
    return list(issues)


def _times_of(results: Sequence[ClipResult]) -> tuple[ClipTimes, ...] | msgspec.UnsetType:
    """How the times of the whole came about; unknown where those of a part are not known."""
    times = tuple(result.times for result in results if result.times is not None)
    return times if len(times) == len(results) else msgspec.UNSET


def _shifted(words: tuple[Word, ...], by_s: float) -> tuple[Word, ...]:
    by_s = round(by_s, 3)  # as `times` counts
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

"""The decoder's delay in the times of words: taken off, put back, and what an answer says about whether it is in them.

Pure: no I/O. Records are in whole milliseconds, so that taking off and putting back is exact. States of times are
pairs: with the delay first, then without it.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence

import msgspec

from pipeline.model import ClipTimes, Segment, Transcript, Word
from pipeline.profile import GRADIUM
from pipeline.segments import as_written, segments_of, text_of

Span = tuple[int, int | None]
"""Start and stop of a word in milliseconds; None where it has no stop."""
OUTSIDE = "times_outside_audio"
"""The issue of a transcript that has a time outside of its audio, which is cut to it."""
TOLERANCE = round(1000 * GRADIUM.frame_s) + 1
"""A time may be one frame of the model outside of the audio, in milliseconds; one of them is rounding."""
_encode = msgspec.msgpack.Encoder().encode


def clip_times(said: Sequence[Span], *, clip: int, end: int, delay: int, lead: int = 0) -> ClipTimes:
    """How the times of a clip come about from what the service `said` of its words, with the delay, on the clip's
    clock. What was sent began with so much `lead` silence before it, and was over at its `end`."""
    late, early = ([placed(span, 0, end, by) for span in said] for by in (0, delay))
    others = tuple(
        (place, *late[place], *early[place])
        for place, span in enumerate(said)
        if (late[place], early[place]) != (span, _earlier(span, delay))
    )
    outside = _is_outside(said, -lead, end), _is_outside(said, delay - lead, end + delay)
    checks = _check(late, 0), _check(early, 0)
    return ClipTimes(clip, 0, delay, others, checks, outside, _contain(said, -lead, end, delay))


def placed(said: Span, begin: int, end: int, by: int) -> Span:
    """What the service said of a word, earlier and cut to the clip."""
    start, stop = _earlier(said, by)
    start = min(max(start, begin), end)
    return start, None if stop is None else max(start, min(stop, end))


def on_other_clock(times: ClipTimes, by_s: float, clip: int) -> ClipTimes:
    """The same where the words are `by_s` later, and of the clip of this number."""
    by = _ms(by_s)
    others = tuple((place, *_earlier(late, -by), *_earlier(early, -by)) for place, late, early in _others(times))
    return msgspec.structs.replace(times, clip=clip, begin=times.begin + by, others=others)


def retimed(row: Transcript, *, applied: bool) -> Transcript:
    """The transcript with its times without the delay (`applied`) or with it, whichever it had, and with `OUTSIDE`
    among its issues where that holds. One whose record is not of these times is returned without the record."""
    clips = row.clip_times
    if isinstance(clips, msgspec.UnsetType):
        return row
    own: dict[int, list[Word]] = defaultdict(list)
    for word in row.words:
        own[word.clip].append(word)
    found = [_retimed(own.pop(times.clip, []), times, applied=applied) for times in clips]
    if own or None in found:
        return msgspec.structs.replace(row, clip_times=msgspec.UNSET)
    words = tuple(sorted((word for one in found for word in one or ()), key=lambda word: word.start_s))
    issues = [issue for issue in row.issues if issue != OUTSIDE]
    issues += [OUTSIDE] * any(times.outside[applied] for times in clips)
    changes: dict[str, object] = {}
    if words != row.words:
        segments = _segments(row, [one or [] for one in found], [times.clip for times in clips])
        changes = {"words": words, "segments": segments, "text": text_of(segments)}
    if issues != [*row.issues]:
        changes |= {"issues": tuple(issues), "status": "suspect" if issues else "ok"}
    return msgspec.structs.replace(row, **changes) if changes else row


def state_of(row: Transcript) -> bool | None:
    """Whether the delay is taken off the times of a transcript; None where no record tells."""
    on, off = (retimed(row, applied=applied) for applied in (True, False))
    if isinstance(on.clip_times, msgspec.UnsetType):
        return None
    return on.words == row.words or (False if off.words == row.words else None)


def _retimed(words: list[Word], times: ClipTimes, *, applied: bool) -> list[Word] | None:
    """The words of a clip with these times; None where they are not those of the record."""
    now = [*map(_span, words)]
    check = _check(now, times.begin)
    if check == times.checks[applied]:
        return words
    if check != times.checks[not applied]:
        return None
    spans = [_earlier(span, times.delay if applied else -times.delay) for span in now]
    for place, *states in _others(times):
        spans[place] = states[applied]
    return [
        msgspec.structs.replace(word, start_s=start / 1000, stop_s=None if stop is None else stop / 1000)
        for word, (start, stop) in zip(words, spans, strict=True)
    ]


def _segments(row: Transcript, found: Sequence[Sequence[Word]], clips: Sequence[int]) -> tuple[Segment, ...]:
    """The segments of a transcript whose clips have other times now; its text stays as the service wrote it."""
    written = defaultdict[int, list[Word]](list)
    for word in as_written(row.words, row.segments):
        written[word.clip].append(word)
    words = [
        msgspec.structs.replace(word, written=before.written)
        for clip, own in zip(clips, found, strict=True)
        for word, before in zip(own, written[clip], strict=True)
    ]
    return segments_of(sorted(words, key=lambda word: word.start_s))


def _contain(said: Sequence[Span], begin: int, end: int, delay: int) -> bool | None:
    """True where a time is beyond the audio with the delay in it, False where a word would begin before the audio
    without it; None where neither holds, or both."""
    is_late = any(max(start, stop or start) > end + TOLERANCE for start, stop in said)
    is_early = any(begin - TOLERANCE <= start < begin - TOLERANCE + delay for start, _ in said)
    return None if is_late == is_early or not delay else is_late


def _is_outside(said: Sequence[Span], begin: int, end: int) -> bool:
    first, last = begin - TOLERANCE, end + TOLERANCE
    return any(not first <= time <= last for span in said for time in span if time is not None)


def _span(word: Word) -> Span:
    return _ms(word.start_s), None if word.stop_s is None else _ms(word.stop_s)


def _earlier(span: Span, by: int) -> Span:
    start, stop = span
    return start - by, None if stop is None else stop - by


def _others(times: ClipTimes) -> Iterator[tuple[int, Span, Span]]:
    for place, start, stop, start_without, stop_without in times.others:
        yield place, (start, stop), (start_without, stop_without)


def _check(spans: Sequence[Span], begin: int) -> int:
    """A checksum of times, whatever clock they are on."""
    return zlib.crc32(_encode([_earlier(span, begin) for span in spans]))


def _ms(seconds: float) -> int:
    return round(round(seconds, 3) * 1000)  # as the times of words are rounded

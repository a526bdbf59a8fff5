"""Turns the messages of one stream into words with times on the clip's clock.

Pure: no I/O. Pairs each `text` with its `end_text` per stream, and subtracts the decoder's delay and the lead silence;
`splitting` makes single words of that.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import overload

from pipeline.errors import AttemptError, EmptyAnswer, StreamMalformed
from pipeline.gradium import wire
from pipeline.gradium.classify import in_stream
from pipeline.gradium.punctuation import is_punctuation
from pipeline.gradium.splitting import MAX_WORD, Said, single_words
from pipeline.model import ClipTimes, Word
from pipeline.profile import GRADIUM
from pipeline.times import clip_times, placed

MAX_DELAY_IN_FRAMES = 1_000
"""A `ready` that reports more does not mean frames of look-ahead; then the requested delay is used."""
MAX_WORDS = 1 << 18
"""For any audio; a caller that knows the audio's length sets a lower limit."""
MEAN_WORD = 20
"""The most characters of a word on average."""

LONGEST_S = 1e9
"""A time beyond this is none: it is cut like any other outside of the audio."""


class WordCollector:
    """Collects the messages of one stream.

    `delay_s` is the requested delay of the decoder's clock, which a `ready` message may correct. `lead_s` is the
    silence in front of the clip. An answer of more than `max_words` is malformed.
    """

    def __init__(self, delay_s: float, *, lead_s: float = 0.0, max_words: int = MAX_WORDS) -> None:
        self.request_id: str | None = None
        self.model: str | None = None
        self.ended = False
        """Whether `end_of_stream` has come."""
        self._delay_s = delay_s
        self._lead_s = lead_s
        self._words_left = self._max_words = max_words
        self._characters_left = self._max_characters = max_words * MEAN_WORD
        self._has_message = False
        self._texts: list[wire.Text] = []
        self._backwards = False
        self._latest_s: dict[int | None, float] = {}
        self._stops: dict[int, tuple[float, int]] = {}
        """By text: when it ends, and how many texts had come when its end did."""
        self._open: dict[int | None, int] = {}
        """By stream: the index of the text that its next end belongs to."""

    def take(self, messages: Iterable[wire.AnyMessage]) -> None:
        """Takes the next messages, up to `end_of_stream`; those after it are ignored.

        Raises the classified error of an `error` message, and StreamMalformed for more words than the audio can have.
        """
        if self.ended:
            return
        for message in messages:
            is_first, self._has_message = not self._has_message, True
            match message:
                case wire.Text():
                    self._take_text(message)
                case wire.EndText():
                    place = self._open.pop(message.stream_id, None)
                    if place is not None and message.stop_s is not None:
                        self._stops[place] = (message.stop_s, len(self._texts))
                case wire.Ready():
                    self._take_ready(message)
                case wire.EndOfStream():
                    self.ended = True
                    return
                case wire.Error():
                    raise self.with_request_id(in_stream(message.message, message.code, is_first=is_first))

    def with_request_id(self, error: AttemptError) -> AttemptError:
        """The error with this stream's request id."""
        error.request_id = self.request_id
        return error

    def words(
        self, *, duration_s: float, channel: int, clip: int
    ) -> tuple[tuple[Word, ...], tuple[str, ...], ClipTimes]:
        """Words in time order within 0 … `duration_s`, the delay taken off; issues for anomalies; how the times came
        about.

        Call it only after the stream ended cleanly. Raises EmptyAnswer if there was no message at all.
        """
        if not self._has_message:
            raise EmptyAnswer("the service answered 200 with nothing in it", http_status=200)
        said = []
        for place, text in enumerate(self._texts):
            stop_s, stop_at = self._stops.get(place, (None, 0))
            start, stop = self._on_clip_clock(text.start_s), self._on_clip_clock(stop_s)
            said.append(Said(text.text, start, stop, text.stream_id, stop_at))
        end, delay = round(1000 * duration_s), round(1000 * self._delay_s)
        spoken = single_words(said, latest=end + delay)
        spans = [(word.start, word.stop) for word in spoken]
        times = clip_times(spans, clip=clip, end=end, delay=delay, lead=round(1000 * self._lead_s))
        words = tuple(
            Word(
                text=word.text,
                start_s=start / 1000,
                stop_s=None if stop is None else stop / 1000,
                channel=channel,
                stream_id=word.stream_id,
                clip=clip,
                timing=word.timing,
                written=word.written,
            )
            for word in spoken
            for start, stop in [placed((word.start, word.stop), 0, end, delay)]
        )
        odd = {"no_words": not words, "times_backwards": self._backwards}
        return words, tuple(issue for issue, holds in odd.items() if holds), times

    def _take_text(self, message: wire.Text) -> None:
        words = message.text.split()
        if not words:
            self._open.pop(message.stream_id, None)  # an end that follows does not belong to the word before
            return
        if self._texts and message == self._texts[-1]:
            return  # a duplicated message
        self._words_left -= len(words)
        self._characters_left -= len(message.text)
        if self._words_left < 0:
            raise _too_much(f"the answer has more than the {self._max_words:,} words that its audio may hold")
        if self._characters_left < 0:
            raise _too_much(f"the answer has more than the {self._max_characters:,} characters that its audio may hold")
        if len(message.text) > MAX_WORD and max(map(len, words)) > MAX_WORD:
            raise _too_much(f"a word of the answer is longer than {MAX_WORD:,} characters")
        stream = message.stream_id
        is_mark = all(map(is_punctuation, words))
        if not is_mark:  # the time of punctuation tells nothing
            self._backwards |= message.start_s < self._latest_s.get(stream, message.start_s)
            self._latest_s[stream] = message.start_s
        if stream not in self._open or not is_mark:
            self._open[stream] = len(self._texts)  # else the end that follows is that of the word and its punctuation
        self._texts.append(message)

    def _take_ready(self, message: wire.Ready) -> None:
        self.request_id = message.request_id or self.request_id
        self.model = message.model_name or self.model
        if message.delay_in_frames is None or not 0 <= message.delay_in_frames <= MAX_DELAY_IN_FRAMES:
            return
        frame_s = GRADIUM.frame_s
        if message.frame_size and message.sample_rate and 0 < message.frame_size <= message.sample_rate:
            frame_s = message.frame_size / message.sample_rate
        self._delay_s = message.delay_in_frames * frame_s

    @overload
    def _on_clip_clock(self, decoder_s: float) -> int: ...
    @overload
    def _on_clip_clock(self, decoder_s: float | None) -> int | None: ...
    def _on_clip_clock(self, decoder_s: float | None) -> int | None:
        """A time of the service in milliseconds of the clip's clock, with the delay."""
        if decoder_s is None:
            return None
        return round(1000 * max(-LONGEST_S, min(LONGEST_S, decoder_s - self._lead_s)))


def _too_much(text: str) -> StreamMalformed:
    return StreamMalformed(text, billed="maybe")

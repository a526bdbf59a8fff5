"""How the answers of an utterance's clips become its transcript."""

from __future__ import annotations

import msgspec

from pipeline.audio.prepare import Prepared
from pipeline.checkpoint import Identity, Selected, State
from pipeline.checkpoint.codec import decode_clip, encode
from pipeline.errors import AudioRefused, StreamCut
from pipeline.exchange import Answer, Clip, Request
from pipeline.model import FileVersion, Transcript, Utterance, Word
from pipeline.run.in_flight import InFlight

UTTERANCE = Utterance(id="a", audio="/a.flac")


def clip(number: int, *, channel: int = 0) -> Clip:
    request = Request(
        id=UTTERANCE.id, clip=number, path="/spool", content_type="audio/wav", version=FileVersion(1, 1, 1, 1),
        duration_s=10.0, channel=channel,
    )  # fmt: skip
    return Clip(request=request, start_s=10.0 * number if not channel else 0.0, key=f"{channel}:{number}")


def answer(*words: tuple[str, float], clip: Clip, issues: tuple[str, ...] = ()) -> Answer:
    said = tuple(
        Word(text=text, start_s=at, stop_s=at + 0.5, channel=clip.channel, clip=clip.number) for text, at in words
    )
    return Answer(
        words=said, issues=issues or (() if words else ("no_words",)), request_id=f"r{clip.number}", model="m"
    )


def prepared(*clips: Clip, issues: tuple[str, ...] = (), duration_s: float | None = None) -> Prepared:
    length_s = 10.0 * len(clips) if duration_s is None else duration_s
    return Prepared(clips=clips, duration_s=length_s, sample_rate=8_000, channels=1, issues=issues)


def in_flight(*clips: Clip, issues: tuple[str, ...] = (), duration_s: float | None = None) -> InFlight:
    selected = Selected(
        n=1,
        place=(0, "", 0, 1),
        utterance=UTTERANCE,
        state=State.NEW,
        config_hash="c",
        expected_s=1,
        done=None,
        attempts=2,
    )
    made = InFlight(selected, Identity(audio_hash="h", config_hash="c"), b"", "answers")
    made.expect(prepared(*clips, issues=issues, duration_s=duration_s), ())
    return made


def joined(made: InFlight) -> Transcript:
    return made.transcript(language="en", run_id="run")


def test_words_come_back_on_the_utterances_clock_whatever_the_order_of_the_answers() -> None:
    clips = [clip(0), clip(1), clip(2)]
    made = in_flight(*clips)
    for number in (2, 0, 1):
        assert not made.is_settled
        said = answer((f"w{number}", 1.25), clip=clips[number])
        made.answered(clips[number], said, latency_s=1.0, cost=30.0)
    assert made.is_settled
    row = joined(made)
    assert row.text == "w0 w1 w2"
    assert [(word.start_s, word.stop_s, word.clip) for word in row.words] == [
        (1.25, 1.75, 0), (11.25, 11.75, 1), (21.25, 21.75, 2),
    ]  # fmt: skip
    assert (row.request_ids, row.latency_s, row.credits) == (("r0", "r1", "r2"), 3.0, 90.0)
    assert (row.status, row.issues, row.model) == ("ok", (), "m")


def test_the_text_reads_as_the_service_wrote_it_and_words_of_the_output_do_not() -> None:
    made, first = in_flight(clip(0), clip(1)), clip(0)
    said = Answer(words=(Word(text="Bonjour!", start_s=1.0, written="Bonjour !"), Word(text="Ah", start_s=1.5)))
    kept = made.answered(first, said, latency_s=1, cost=30)
    assert decode_clip(encode(kept)) == kept  # as the checkpoint stores it
    assert msgspec.json.encode(kept).count(b"written") == 1
    made.answered(clip(1), said, latency_s=1, cost=30)
    row = joined(made)
    assert row.text == "Bonjour ! Ah Bonjour ! Ah"
    assert [segment.text for segment in row.segments] == ["Bonjour !", "Ah", "Bonjour !", "Ah"]
    assert [word.text for word in row.words] == ["Bonjour!", "Ah", "Bonjour!", "Ah"]
    assert b"written" not in msgspec.json.encode(row)


def test_channels_are_merged_by_time() -> None:
    left, right = clip(0), clip(1, channel=1)
    made = in_flight(left, right, duration_s=10.0)
    made.answered(left, answer(("hello", 1.0), ("fine", 5.0), clip=left), latency_s=1, cost=30)
    made.answered(right, answer(("hi", 3.0), clip=right), latency_s=1, cost=30)
    row = joined(made)
    assert [(word.text, word.channel) for word in row.words] == [("hello", 0), ("hi", 1), ("fine", 0)]


def test_a_silent_clip_among_others_is_told_and_a_silent_channel_is_not() -> None:
    first, second = clip(0), clip(1)
    made = in_flight(first, second)
    made.answered(first, answer(("hello", 1.0), clip=first), latency_s=1, cost=30)
    made.answered(second, answer(clip=second), latency_s=1, cost=30)
    assert (joined(made).status, joined(made).issues) == ("suspect", ("clip_without_words",))

    left, right = clip(0), clip(1, channel=1)
    made = in_flight(left, right)
    made.answered(left, answer(("hello", 1.0), clip=left), latency_s=1, cost=30)
    made.answered(right, answer(clip=right), latency_s=1, cost=30)
    assert joined(made).issues == ()


def test_no_words_at_all_and_a_truncated_recording_are_told() -> None:
    first, second = clip(0), clip(1)
    made = in_flight(first, second, issues=("truncated",))
    for one in (first, second):
        made.answered(one, answer(clip=one), latency_s=1, cost=30)
    assert joined(made).issues == ("truncated", "no_words")


def test_answers_of_earlier_runs_count_for_the_same_samples_only() -> None:
    clips = [clip(0), clip(1)]
    before = in_flight(*clips)
    kept = before.answered(clips[0], answer(("old", 1.0), clip=clips[0]), latency_s=1, cost=30)
    made = in_flight()
    missing = made.expect(prepared(*clips), [kept])
    assert missing == [clips[1]]
    made.answered(clips[1], answer(("new", 1.0), clip=clips[1]), latency_s=1, cost=30)
    assert made.is_settled
    assert joined(made).text == "old new"
    # cut elsewhere, so the old answer is to other audio
    moved = [msgspec.structs.replace(one, key="x") for one in clips]
    assert in_flight().expect(prepared(*moved), [kept]) == moved


def test_a_clip_that_is_given_up_does_not_end_the_others() -> None:
    clips = [clip(0), clip(1)]
    made = in_flight(*clips)
    made.given_up(clips[1], AudioRefused("no"), requests=1)
    assert not made.is_settled
    made.given_up(clips[0], StreamCut("cut"), requests=1)
    assert made.is_settled
    assert made.error is not None
    why = made.why(made.error, None)
    assert why.error is not None
    assert (why.error.message, why.clip) == ("clip 2 of 2 (0:10 to 0:20) and 1 more: no", 1)

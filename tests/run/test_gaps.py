"""How clips without an answer are told: in the failure's message, and as issues of the transcript."""

from __future__ import annotations

import msgspec
import pytest

from pipeline.checkpoint.identity import is_partial
from pipeline.errors import ServerFault
from pipeline.exchange import Clip
from pipeline.run.given_up import of_clip
from pipeline.run.join import gap_issues
from pipeline.texts import MAX_MESSAGE
from tests.run.test_join import answer, clip, in_flight, joined


def piece(number: int, start_s: float, stop_s: float, channel: int = 0) -> Clip:
    made = clip(number, channel=channel)
    request = msgspec.structs.replace(made.request, duration_s=stop_s - start_s)
    return msgspec.structs.replace(made, request=request, start_s=start_s)


def test_clips_behind_each_other_make_one_gap() -> None:
    missing = [piece(5, 40.0, 50.04), piece(1, 10.0, 20.1), piece(2, 20.1, 30.0)]
    assert gap_issues(missing, several_channels=False) == ["gap 10.0-30.0", "gap 40.0-50.0"]
    assert gap_issues([piece(13, 3600.0, 3870.5)], several_channels=False) == ["gap 3600.0-3870.5"]


def test_gaps_of_several_channels_say_which() -> None:
    missing = [piece(0, 0.0, 10.0), piece(1, 10.0, 20.0, 1), piece(2, 0.0, 10.0, 1)]
    assert gap_issues(missing, several_channels=True) == ["gap 0.0-10.0 channel 0", "gap 0.0-20.0 channel 1"]


def test_the_transcript_of_what_was_answered_is_suspect_and_names_its_gaps() -> None:
    clips = [clip(0), clip(1), clip(2)]
    made = in_flight(*clips, issues=("truncated",))
    for one in (clips[0], clips[2]):
        made.answered(one, answer((f"w{one.number}", 1.0), clip=one), latency_s=1, cost=30)
    made.given_up(clips[1], ServerFault("no"), requests=6)
    row = joined(made)
    assert (row.text, row.status, row.issues) == ("w0 w2", "suspect", ("truncated", "gap 10.0-20.0"))
    assert row.credits == 60
    assert is_partial(row)
    why = made.why(ServerFault("no"), row)
    assert (why.answered_s, why.answered_now, why.was_sent, why.clip) == (20.0, True, True, 1)
    assert why.error.message == "clip 2 of 3 (0:10 to 0:20): no"


def test_a_recording_of_one_clip_has_the_services_own_words() -> None:
    made = in_flight(clip(0))
    made.given_up(clip(0), ServerFault("no"), requests=6)
    assert made.why(ServerFault("no"), None).error.message == "no"


@pytest.mark.parametrize(
    ("missing", "several_channels", "message"),
    [
        (1, False, "clip 14 of 41 (60:00 to 64:30): no"),
        (3, False, "clip 14 of 41 (60:00 to 64:30) and 2 more: no"),
        (1, True, "clip 14 of 41 (channel 1, 60:00 to 64:30): no"),
    ],
)
def test_the_message_names_clip_and_minutes(missing: int, several_channels: bool, message: str) -> None:
    error = ServerFault("no", http_status=500, code=1011, billed="maybe")
    told = of_clip(error, piece(13, 3600.0, 3870.4, 1), clips=41, missing=missing, several_channels=several_channels)
    assert told.message == message
    assert (type(told), told.http_status, told.code, told.billed) == (ServerFault, 500, 1011, "maybe")
    assert error.message == "no"


def test_a_long_message_is_cut_as_ever() -> None:
    told = of_clip(ServerFault("x" * MAX_MESSAGE), piece(0, 0.0, 1.0), clips=2, missing=1, several_channels=False)
    assert len(told.message) == MAX_MESSAGE

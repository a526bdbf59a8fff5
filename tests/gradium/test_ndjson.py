"""NDJSON as it arrives: any bytes, cut anywhere, end as messages or as one of the project's errors."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.errors import AttemptError, KeyRefused, StreamMalformed
from pipeline.gradium import ndjson, wire
from pipeline.gradium.ndjson import MAX_ANSWER_BYTES, MAX_LINE_BYTES, MAX_LINES, MessageDecoder
from pipeline.gradium.response import PIECE_BYTES, Inflater
from pipeline.gradium.words import WordCollector

READY: dict[str, Any] = {"type": "ready", "request_id": "r-1", "model_name": "m", "delay_in_frames": 16}
HOLA: dict[str, Any] = {"type": "text", "text": "mañana", "start_s": 2.0, "stream_id": 0}
END: dict[str, Any] = {"type": "end_text", "stop_s": 2.5, "stream_id": 0}
STREAM = [READY, {"type": "step", "vad": [], "step_idx": 3}, HOLA, END, {"type": "end_of_stream"}]


def decoded(chunks: Iterable[bytes]) -> list[wire.AnyMessage]:
    decoder = MessageDecoder()
    messages = [message for chunk in chunks for message in decoder.feed(chunk)]
    return [*messages, *decoder.close()]


def heard(chunks: Iterable[bytes]) -> WordCollector:
    decoder, collector = MessageDecoder(), WordCollector(0.0)
    for chunk in chunks:
        collector.take(decoder.feed(chunk))
    collector.take(decoder.close())
    return collector


def cut(stream: bytes, places: Iterable[int]) -> list[bytes]:
    inside = sorted({place % (len(stream) + 1) for place in places})
    return [stream[start:stop] for start, stop in zip([0, *inside], [*inside, len(stream)], strict=True)]


def written(messages: Sequence[dict[str, Any]], end: str = "\n") -> bytes:
    return "".join(json.dumps(message, ensure_ascii=False) + end for message in messages).encode()


places = st.lists(st.integers(min_value=0, max_value=2**16), max_size=20)
number = st.floats(min_value=-10, max_value=1e6) | st.integers(min_value=0, max_value=300)
stream_id = st.none() | st.integers(min_value=0, max_value=3)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
message = st.one_of(
    st.fixed_dictionaries({"type": st.just("ready"), "request_id": text, "delay_in_frames": st.integers(0, 60)}),
    st.fixed_dictionaries({"type": st.just("text"), "text": text, "start_s": number, "stream_id": stream_id}),
    st.fixed_dictionaries(
        {"type": st.just("end_text")}, optional={"stop_s": st.none() | number, "stream_id": stream_id}
    ),
    st.fixed_dictionaries({"type": st.just("step"), "vad": st.lists(number, max_size=3)}),
    st.fixed_dictionaries({"type": st.sampled_from(["speaker_change", "", "TEXT"]), "text": st.integers()}),
    st.just({"type": "end_of_stream"}),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
odd_message = st.builds(
    lambda kind, fields: {**fields, "type": kind},
    st.sampled_from(["ready", "text", "end_text", "step", "end_of_stream", "error", "new"]),
    st.dictionaries(
        st.sampled_from(
            [
                "text",
                "start_s",
                "stop_s",
                "stream_id",
                "delay_in_frames",
                "frame_size",
                "sample_rate",
                "code",
                "message",
            ]
        ),
        json_values,
        max_size=6,
    ),
)
some_bytes = st.one_of(
    st.binary(max_size=300),
    st.lists(odd_message, max_size=6).map(lambda messages: json.dumps(messages)[1:-1].replace("}, {", "}\n{").encode()),
    st.builds(
        lambda stream, noise, place: stream[: place % len(stream)] + noise + stream[place % len(stream) :],
        st.just(written(STREAM)),
        st.binary(max_size=8),
        st.integers(min_value=0),
    ),
)


@given(some_bytes, places)
@example(b'{"type":"ready","delay_in_frames":' + b"9" * 400 + b"}", [])
@example(b'{"type":"ready","delay_in_frames":16,"frame_size":' + b"9" * 400 + b',"sample_rate":1}', [])
def test_any_bytes_end_as_words_or_as_an_error_of_ours(stream: bytes, cuts: list[int]) -> None:
    try:
        words, *_ = heard(cut(stream, cuts)).words(duration_s=300, channel=0, clip=0)
    except AttemptError:
        return
    assert all(0 <= word.start_s <= (word.stop_s or 300) <= 300 for word in words)


@given(st.lists(message, max_size=8), st.sampled_from(["\n", "\r\n", "\n\n", " \r\n\r\n"]), st.booleans(), places)
def test_where_a_valid_stream_is_cut_makes_no_difference(
    messages: list[dict[str, Any]], end: str, bom: bool, cuts: list[int]
) -> None:
    stream = (ndjson.BOM if bom else b"") + written(messages, end)
    whole = decoded([stream])
    assert decoded(cut(stream, cuts)) == whole
    assert len(whole) == sum(message["type"] not in ("speaker_change", "", "TEXT") for message in messages)


@given(some_bytes, places)
def test_where_a_broken_stream_is_cut_makes_no_difference_to_what_was_heard(stream: bytes, cuts: list[int]) -> None:
    def outcome(chunks: list[bytes]) -> object:
        try:
            return heard(chunks).words(duration_s=300, channel=0, clip=0)
        except AttemptError as error:
            return type(error)

    lines = [line + b"\n" for line in stream.split(b"\n")]
    assert outcome(cut(b"".join(lines), cuts)) == outcome(lines)


def test_an_object_over_two_lines_or_two_on_one_line_is_no_message() -> None:
    for stream in (b'{"type":\n"step"}\n', b'{"type":"step"}{"type":"step"}\n'):
        with pytest.raises(StreamMalformed):
            decoded([stream])


def test_each_byte_alone_is_enough() -> None:
    stream = ndjson.BOM + written(STREAM, "\r\n")
    assert decoded(stream[at : at + 1] for at in range(len(stream))) == decoded([stream])


def test_a_character_cut_in_two_is_whole_again() -> None:
    stream = written([HOLA])
    inside = stream.index("ñ".encode()) + 1
    assert decoded([stream[:inside], stream[inside:]]) == [wire.Text("mañana", 2.0, 0)]


def test_the_last_line_needs_no_newline() -> None:
    assert decoded([written(STREAM).rstrip(b"\n")]) == decoded([written(STREAM)])


def test_blank_lines_say_nothing() -> None:
    assert decoded([b"\n \r\n\t\n\n"]) == []


def test_a_bom_within_the_stream_is_no_mark() -> None:
    with pytest.raises(StreamMalformed):
        decoded([written([READY]), ndjson.BOM + written([HOLA])])


@pytest.mark.parametrize(
    "line", [b'{"type":"speaker_change","at":[1]}', b'{"type":"","text":5}', b'{"a":1,"type":"x"}']
)
def test_unknown_types_are_passed_over(line: bytes) -> None:
    assert decoded([written([READY]) + line + b"\n" + written([HOLA])])[1:] == [wire.Text("mañana", 2.0, 0)]


def test_new_fields_of_known_types_are_passed_over() -> None:
    assert decoded([written([{**HOLA, "confidence": {"of": [0.9]}}])]) == [wire.Text("mañana", 2.0, 0)]


@pytest.mark.parametrize(
    "line",
    [
        b"<html>502 Bad Gateway</html>",
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b'{"type":7}',
        b'{"type":"text","text":"hal',
        b'{"type":"text","text":"no time"}',
        b'{"type":"text","text":"late","start_s":"2.0"}',
        b'{"type":"text","text":"huge","start_s":1e999}',
        b'{"type":"text","text":"huge","start_s":' + b"9" * 5000 + b"}",
        b'{"type":"text","text":"a","start_s":NaN}',
        b'{"type":"text","text":"a","start_s":1,"stream_id":99999999999}',
        b'{"type":"text","text":"\xff\xfe","start_s":\xff}',
        b'{"type":"text","text":"a","start_s":1}\\ud800',
        b'{"type":"step","vad":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"type":"news","vad":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"type":"text","text":"a","start_s":1} {"type":',
    ],
)
def test_a_line_that_is_no_message_spoils_the_answer(line: bytes) -> None:
    with pytest.raises(StreamMalformed) as caught:
        decoded([written([READY]), line + b"\n", written([HOLA])])
    assert len(caught.value.message) < 600


@pytest.mark.parametrize(
    ("written_as", "read_as"),
    [
        (rb"a\ud83db", "a\ufffdb"),
        (rb"\ud83d", "\ufffd"),  # a pair over two messages is two halves
        (rb"\ude00", "\ufffd"),
        (rb"\uDE00\uD83D", "\ufffd\ufffd"),
        (rb"\ud83d\ud83d\ude00", "\ufffd\U0001f600"),
        (rb"\ud83d\u0041", "\ufffdA"),
        (rb"\\ud83d\ud83d", "\\ud83d\ufffd"),  # the first is a backslash and letters
        (rb"\\\ud83d\n", "\\\ufffd\n"),
        (b"caf\xe9", "caf\ufffd"),
        (b"a\xf0\x9f\x98", "a\ufffd"),
        (b"\xff" + rb"\ud83d", "\ufffd\ufffd"),
    ],
)
def test_what_is_no_character_costs_itself_and_no_more(written_as: bytes, read_as: str) -> None:
    decoder = MessageDecoder()
    stream = written([READY]) + b'{"type":"text","text":"' + written_as + b'","start_s":1}\n' + written([END])
    assert list(decoder.feed(stream))[1:] == [wire.Text(read_as, 1.0), wire.EndText(2.5, 0)]
    assert decoder.replaced


@pytest.mark.parametrize(
    "line", [rb'{"type":"text","text":"\ud83d\ude00\\ud83d","start_s":1}', written([HOLA]).strip()]
)
def test_what_is_a_character_stays(line: bytes) -> None:
    decoder = MessageDecoder()
    (found,) = decoder.feed(line + b"\n")
    assert isinstance(found, wire.Text)
    assert found.text == json.loads(line)["text"]
    assert not decoder.replaced


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (rb'{"type":"error","message":"a\udc00"}', wire.Error(message="a\ufffd")),
        (b'{"type":"error","message":"a\xff"}', wire.Error(message="a\ufffd")),
        (rb'{"type":"ready","request_id":"\udc00"}', wire.Ready(request_id="\ufffd")),
        (rb'{"type":"text","text":"a","start_s":1,"speaker":"\udc00"}', wire.Text("a", 1.0)),
    ],
)
def test_what_is_no_character_elsewhere_flags_nothing(line: bytes, message: wire.AnyMessage) -> None:
    decoder = MessageDecoder()
    assert list(decoder.feed(line + b"\n")) == [message]
    assert not decoder.replaced


def test_an_unknown_type_that_is_no_text_is_passed_over() -> None:
    assert decoded([rb'{"type":"\udc00","x":1}' + b"\n" + b'{"type":"x\xff"}\n']) == []


@pytest.mark.parametrize("end", [b'{"type":"end_of_stream"}', b' { "type" : "end_of_stream" } '])
@pytest.mark.parametrize("after", [b"", b"garbage", b"{", b"\xff", b"\r\n", b"\ngarbage\n"])
def test_the_end_of_the_stream_is_heard_at_its_brace(end: bytes, after: bytes) -> None:
    assert heard([written([HOLA]), end + after]).ended
    assert heard([written([HOLA]) + end + after]).ended
    assert heard([written([HOLA]), end, after]).ended
    decoder = MessageDecoder()
    assert list(decoder.feed(ndjson.BOM + end)) == [wire.EndOfStream()]


def test_an_error_before_a_broken_line_is_heard_even_in_the_same_chunk() -> None:
    error = {"type": "error", "message": "API key is revoked or expired", "code": 1008}
    with pytest.raises(KeyRefused):
        heard([written([READY, error]) + b"<html>\n"])


def test_an_error_before_an_endless_line_is_heard_even_in_the_same_chunk() -> None:
    error = {"type": "error", "message": "API key is revoked or expired", "code": 1008}
    with pytest.raises(KeyRefused):
        heard([written([error]) + b"a" * (MAX_LINE_BYTES + 1)])


def line_of(size: int) -> bytes:
    head, tail = b'{"type":"text","start_s":1,"text":"', b'"}'
    return head + b"a" * (size - len(head) - len(tail)) + tail


@pytest.mark.parametrize("chunk", [1000, 1 << 16, 3 << 20])
@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_line_may_be_as_long_as_the_limit_and_no_longer(chunk: int, end: bytes) -> None:
    def chunks(size: int) -> list[bytes]:
        stream = written([READY]) + line_of(size) + end
        return [stream[at : at + chunk] for at in range(0, len(stream), chunk)]

    assert len(decoded(chunks(MAX_LINE_BYTES))) == 2
    with pytest.raises(StreamMalformed, match="longer than 1 MB"):
        decoded(chunks(MAX_LINE_BYTES + 1))


def test_an_endless_line_is_given_up_at_the_limit_and_not_at_its_end() -> None:
    decoder, chunk = MessageDecoder(), b"a" * (1 << 16)
    for _ in range(MAX_LINE_BYTES // len(chunk)):
        assert list(decoder.feed(chunk)) == []
    with pytest.raises(StreamMalformed, match="longer than 1 MB"):
        list(decoder.feed(b"a"))


def test_an_endless_answer_is_given_up() -> None:
    decoder, lines = MessageDecoder(), (b" " * 1023 + b"\n") * 1024
    for _ in range(MAX_ANSWER_BYTES // len(lines)):
        assert list(decoder.feed(lines)) == []
    with pytest.raises(StreamMalformed, match="larger than the 67,108,864 bytes"):
        list(decoder.feed(b"\n"))


LINES = {
    "blank": b"\n",
    "blank and CRLF": b" \r\n",
    "unknown": b'{"type":"new"}\n',
    "telemetry": b'{"type":"step"}\n',
    "words": b'{"type":"text","text":"a","start_s":1}\n',
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_many_lines_end_the_answer_however_few_bytes_they_came_in(line: bytes) -> None:
    """Each line costs time. Not more is inflated than the lines that are allowed, and one piece."""
    inflated = []

    def pieces() -> Iterable[bytes]:
        for piece in Inflater("gzip").feed(gzip.compress(line * MAX_LINES * 2)):
            inflated.append(len(piece))
            yield piece

    with pytest.raises(StreamMalformed, match=f"more than {MAX_LINES:,} lines"):
        decoded(pieces())
    assert sum(inflated) <= MAX_LINES * len(line) + PIECE_BYTES


def test_as_many_lines_as_are_allowed_are_an_answer() -> None:
    assert len(decoded([b'{"type":"step"}\n' * (MAX_LINES - 1), b'{"type":"end_of_stream"}\n'])) == MAX_LINES

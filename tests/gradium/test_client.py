"""The exchange with a real server process, and with peers that send what no server should."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import pickle
import random
import socket
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest

from pipeline import errors
from pipeline.config.settings import ServiceSettings, TimeoutSettings
from pipeline.exchange import Answer, Endpoint, Request
from pipeline.gradium.client import GradiumClient
from pipeline.gradium.request import request_settings
from pipeline.gradium.transport import http_client
from pipeline.model import Utterance
from pipeline.server.faults.plan import KINDS
from pipeline.server.fingerprint import fingerprint_words
from pipeline.source.local import file_version
from tests.gradium.scripted import Scripted, answer
from tests.server.bodies import RATE, encoded, noise, sha256, wav
from tests.servers import KEY, RunningServer, start_server

SECONDS = 2.5
READY = b'{"type":"ready","request_id":"r-1","model_name":"m","delay_in_frames":16}\n'
WORD = b'{"type":"text","text":"one","start_s":2.28}\n{"type":"end_text","stop_s":2.78}\n'
END = b'{"type":"end_of_stream"}\n'
NDJSON = {"Content-Type": "application/x-ndjson"}

BROKEN: list[tuple[str, type[errors.AttemptError]]] = [
    ('kind = "internal_error"', errors.ServerFault),
    ('kind = "policy"\nmessage = "bad setup"', errors.SettingsRefused),
    ('kind = "policy"\nmessage = "something new"', errors.UnknownFault),
    ('kind = "proxy_rejection"', errors.UnknownFault),
    ('kind = "proxy_rejection"\nmessage = "unsupported content type for SST \'audio/mpeg\'"', errors.AudioRefused),
    ('kind = "rate_limited"\nretry_after_s = 7', errors.RateLimited),
    ('kind = "unavailable"\nretry_after_s = 30', errors.ServerFault),
    ('kind = "bad_gateway"', errors.ServerFault),
    ('kind = "bad_gateway"\nstatus = 504', errors.ServerFault),
    ('kind = "page"', errors.AccessDenied),
    ('kind = "page"\nstatus = 429\nretry_after_s = 7', errors.RateLimited),
    ('kind = "json_refusal"\nmessage = "no credits left"', errors.CreditsSpent),
    ('kind = "json_refusal"\nmessage = "Concurrency limit"\nkey = "error"\nstatus = 500', errors.ConcurrencyLimit),
    ('kind = "internal_error"\nmessage = "A language is required"', errors.SettingsInvalid),
    ('kind = "reset_before_answer"', errors.ConnectionFailed),
    ('kind = "reset_in_stream"', errors.StreamCut),
    ('kind = "cut"\nat_byte = 0', errors.StreamCut),
    ('kind = "cut"\nat_byte = 1', errors.StreamCut),
    ('kind = "cut"\nat_byte = 300', errors.StreamCut),
    ('kind = "hang"', errors.AttemptTimeout),
    ('kind = "drip"\ninterval_s = 0.05', errors.AttemptTimeout),
    ('kind = "session_cap"\ncap = 0', errors.ConcurrencyLimit),
    ('kind = "session_cap"\ncap = 0\ndress = "rate_limited"', errors.ConcurrencyLimit),
    ('kind = "session_cap"\ncap = 0\ndress = "in_stream"', errors.ConcurrencyLimit),
    ('kind = "key_revoked"', errors.KeyRefused),
    ('kind = "settings_refused"\nkeys = ["language"]', errors.EmptyAnswer),
    ('kind = "stream_error"', errors.ServerFault),
    ('kind = "stream_error"\nmessage = "something new"\nafter_words = 2', errors.ServerFault),
    ('kind = "malformed_line"', errors.StreamMalformed),
    ('kind = "long_line"\nsize_bytes = 3000000', errors.StreamMalformed),
    ('kind = "empty_200"', errors.EmptyAnswer),
]
HONEST = [
    'kind = "cut"\nat_byte = 100000',  # the last chunk is missing, and all is said
    'kind = "hang"\nfor_s = 0.05',
    'kind = "drip"\ninterval_s = 0\nchunk_bytes = 7',
    'kind = "duplicate_messages"',
    'kind = "no_end_text"',
    'kind = "no_end_text"\nlast_only = true',
    'kind = "no_stop_s"',
    'kind = "times_backwards"\nby_s = 1.5',
    'kind = "other_delay"\ndelay_in_frames = 40',
    'kind = "no_ready"',
    'kind = "no_end_of_stream"',
    'kind = "untidy_lines"',
    'kind = "odd_chunks"',
    'kind = "unknown_types"',
    'kind = "invalid_utf8"',
    'kind = "open_end"',
]
ELSEWHERE = {"redirect", "connection_refused", "credits_spent"}
"""Kinds that have a test of their own below."""


def body_for(fault: str) -> bytes:
    """Each fault strikes a body of its own, so that one server serves them all."""
    return wav(noise(fault, SECONDS))


def faults_file(faults: Sequence[str]) -> str:
    return "\n".join(f'[[fault]]\n{fault}\nsha256 = "{sha256(body_for(fault))}"' for fault in faults)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    once = f'[[fault]]\nkind = "internal_error"\ntimes = 1\nsha256 = "{sha256(body_for("once"))}"'
    with start_server(faults=faults_file([*(fault for fault, _ in BROKEN), *HONEST]) + "\n" + once) as running:
        yield running


def clip_of(path: Path, body: bytes, content_type: str = "audio/wav", duration_s: float = SECONDS) -> Request:
    path.write_bytes(body)
    return Request(
        id="u",
        clip=0,
        path=str(path),
        content_type=content_type,
        version=file_version(path.stat()),
        duration_s=duration_s,
    )


def ask(
    url: str,
    *clips: Request,
    key: str = KEY,
    deadline_s: float = 20,
    idle_s: float = 10,
    trust_env: bool = False,
    **json_config: Any,
) -> list[Answer]:
    """The answers to the clips, all asked at once."""

    async def together() -> list[Answer]:
        timeouts = TimeoutSettings(attempt_base_s=deadline_s, attempt_per_audio_s=0)
        settings = request_settings(ServiceSettings(json_config=json_config))
        async with http_client(url, connect_s=5, idle_s=idle_s, trust_env=trust_env) as http:
            client = GradiumClient(http, Endpoint(url=url, key=key), settings, timeouts)
            return await asyncio.gather(*map(client.transcribe, clips))

    return asyncio.run(together())


def failure(url: str, clip: Request, **options: Any) -> errors.AttemptError:
    with pytest.raises(errors.AttemptError) as caught:
        ask(url, clip, **options)
    return caught.value


def right(samples: bytes, rate: int = RATE) -> list[tuple[str, float, float]]:
    return [(text, start, round(stop, 3)) for text, start, stop in fingerprint_words(samples, rate)]


def said(found: Answer) -> list[tuple[str, float, float | None]]:
    return [(word.text, word.start_s, word.stop_s) for word in found.words]


@pytest.fixture
def clip(tmp_path: Path) -> Request:
    return clip_of(tmp_path / "clip.wav", wav(noise("plain", SECONDS)))


# -- good answers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay_in_frames", [7, 16, 48])
def test_words_have_the_times_of_the_audio_whatever_the_delay(
    server: RunningServer, clip: Request, delay_in_frames: int
) -> None:
    (found,) = ask(server.url, clip, delay_in_frames=delay_in_frames)
    assert said(found) == right(noise("plain", SECONDS))
    assert (found.issues, found.model, found.http_status) == ((), "local-fingerprint", 200)
    assert found.request_id
    assert found.bytes_sent == clip.version.size_bytes
    assert found.latency_s > 0


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32"])
def test_wav_of_each_depth(server: RunningServer, tmp_path: Path, subtype: str) -> None:
    samples = noise(subtype, SECONDS)
    (found,) = ask(server.url, clip_of(tmp_path / "a.wav", encoded(samples, "WAV", subtype)))
    assert said(found) == right(samples)


def test_raw_samples(server: RunningServer, tmp_path: Path) -> None:
    samples = noise("raw", SECONDS, 24_000)
    (found,) = ask(server.url, clip_of(tmp_path / "a.pcm", samples, "audio/pcm"))
    assert said(found) == right(samples, 24_000)


def test_opus(server: RunningServer) -> None:
    path = Path("manifests/sample/keys.ogg")
    (found,) = ask(
        server.url,
        Request(
            id="u",
            clip=0,
            path=str(path),
            content_type="audio/ogg",
            version=file_version(path.stat()),
            duration_s=300,
        ),
    )
    assert [start for _, start, _ in said(found)] == [float(second) for second in range(len(found.words))]
    assert found.words


def test_silence_is_an_answer_without_words(server: RunningServer, tmp_path: Path) -> None:
    (found,) = ask(server.url, clip_of(tmp_path / "a.wav", wav(bytes(2 * RATE))))
    assert (found.words, found.issues) == ((), ("no_words",))


def test_answers_do_not_mix_with_many_at_once(server: RunningServer, tmp_path: Path) -> None:
    clips = [clip_of(tmp_path / f"{n}.wav", wav(noise(f"many {n}", 1.0))) for n in range(40)]
    found = ask(server.url, *clips)
    assert [said(answer) for answer in found] == [right(noise(f"many {n}", 1.0)) for n in range(40)]
    assert len({answer.request_id for answer in found}) == 40


def test_a_long_clip_is_sent_whole(server: RunningServer, tmp_path: Path) -> None:
    samples = random.Random(1).randbytes(120 * RATE * 2)
    (found,) = ask(server.url, clip_of(tmp_path / "a.wav", wav(samples), duration_s=120))
    assert said(found) == right(samples)


def test_the_second_attempt_sends_the_whole_body_again(server: RunningServer, tmp_path: Path) -> None:
    clip = clip_of(tmp_path / "a.wav", body_for("once"))
    first = failure(server.url, clip)
    assert isinstance(first, errors.ServerFault)
    assert first.bytes_sent == clip.version.size_bytes
    (found,) = ask(server.url, clip)
    assert said(found) == right(noise("once", SECONDS))
    assert server.stats()["bodies"][sha256(body_for("once"))] == {"requests": 2, "answered": 1}


@pytest.mark.parametrize("fault", HONEST)
def test_an_odd_answer_still_gives_its_words(server: RunningServer, tmp_path: Path, fault: str) -> None:
    (found,) = ask(server.url, clip_of(tmp_path / "a.wav", body_for(fault)))
    wanted = right(noise(fault, SECONDS))
    if "invalid_utf8" in fault:
        middle = len(wanted) // 2
        wanted[middle] = (wanted[middle][0] + "\ufffd", *wanted[middle][1:])
        assert (said(found), found.issues) == (wanted, ("replaced_characters",))
        return
    if "times_backwards" in fault:
        assert found.issues == ("times_backwards",)
        assert sorted(word.text for word in found.words) == sorted(text for text, _, _ in wanted)
        assert [word.start_s for word in found.words] == sorted(word.start_s for word in found.words)
        return
    if "no_stop_s" in fault or fault == 'kind = "no_end_text"':
        assert said(found) == [(text, start, None) for text, start, _ in wanted]
    elif "last_only" in fault:
        assert said(found) == [*wanted[:-1], (*wanted[-1][:2], None)]
    else:
        assert said(found) == wanted
    assert found.issues == ()
    assert (found.request_id is None) == ("no_ready" in fault)


# -- faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fault", "kind"), BROKEN)
def test_a_fault_becomes_its_error(
    server: RunningServer, tmp_path: Path, fault: str, kind: type[errors.AttemptError]
) -> None:
    clip = clip_of(tmp_path / "a.wav", body_for(fault))
    silent = fault.startswith(('kind = "hang"', 'kind = "drip"'))
    error = failure(server.url, clip, deadline_s=0.4 if silent else 20)
    assert type(error) is kind
    assert error.message
    assert error.bytes_sent == clip.version.size_bytes
    assert KEY not in str(error)
    if "retry_after_s = 7" in fault:
        assert error.retry_after_s == 7
    if "retry_after_s = 30" in fault:
        assert 25 < (error.retry_after_s or 0) <= 30
    if kind in (errors.StreamCut, errors.StreamMalformed, errors.AttemptTimeout, errors.ConnectionFailed):
        assert error.billed == "maybe"


def test_every_kind_of_fault_is_tested_here() -> None:
    named = {fault.split('"')[1] for fault in [*(fault for fault, _ in BROKEN), *HONEST]}
    assert named | ELSEWHERE == set(KINDS)


def test_the_stream_id_of_a_broken_answer_is_kept(server: RunningServer, tmp_path: Path) -> None:
    error = failure(server.url, clip_of(tmp_path / "a.wav", body_for('kind = "stream_error"')))
    assert error.request_id
    assert error.code == 1011


def test_a_silent_service_is_given_up_before_the_deadline(server: RunningServer, tmp_path: Path) -> None:
    clip = clip_of(tmp_path / "a.wav", body_for('kind = "hang"'))
    assert isinstance(failure(server.url, clip, idle_s=0.2), errors.AttemptTimeout)


def test_the_deadline_is_told_in_its_error(server: RunningServer, tmp_path: Path) -> None:
    error = failure(server.url, clip_of(tmp_path / "a.wav", body_for('kind = "hang"')), deadline_s=0.2)
    assert error.message == "no complete answer within 0.2 s for 2.5 s of audio"


def test_a_wrong_key_is_refused(server: RunningServer, clip: Request) -> None:
    error = failure(server.url, clip, key="gd_another_key")
    assert isinstance(error, errors.KeyRefused)
    assert error.code == 1008


def test_audio_that_the_service_cannot_read_is_its_own_fault(server: RunningServer, tmp_path: Path) -> None:
    assert isinstance(failure(server.url, clip_of(tmp_path / "a.wav", b"no audio")), errors.AudioRefused)
    mp3 = clip_of(tmp_path / "a.mp3", b"ID3", "audio/mpeg")
    assert isinstance(failure(server.url, mp3), errors.AudioRefused)


def test_audio_that_is_too_long_is_refused_with_the_limit(tmp_path: Path) -> None:
    long = clip_of(tmp_path / "a.wav", wav(bytes(2 * 310 * 1000), rate=1000), duration_s=310)
    with start_server(max_audio_s=300) as short:
        error = failure(short.url, long)
    assert isinstance(error, errors.ClipTooLong)
    assert (error.limit_s, error.billed) == (300, "no")


@pytest.mark.slow
def test_the_answer_to_fifty_minutes_is_within_the_limits(tmp_path: Path) -> None:
    steps = b"".join(
        json.dumps({"type": "step", "step_idx": n, "vad": [{"p": 0.25}] * 4}).encode() + b"\n" for n in range(37_500)
    )
    words = b"".join(
        json.dumps({"type": "text", "text": "hello", "start_s": 0.3 * n, "stream_id": 0}).encode()
        + b'\n{"type": "end_text", "stop_s": %.1f, "stream_id": 0}\n' % (0.3 * n + 0.2)
        for n in range(10_000)
    )
    clip = clip_of(tmp_path / "a.wav", wav(bytes(2_000), rate=1000), duration_s=3000)
    with Scripted(answer(b'{"type": "ready"}\n' + steps + words + b'{"type": "end_of_stream"}\n')) as peer:
        [found] = ask(peer.url, clip)
    assert len(found.words) == 10_000


def test_a_redirect_is_not_followed_and_the_key_stays_here(clip: Request) -> None:
    with socket.create_server(("127.0.0.1", 0)) as target:
        location = f"http://127.0.0.1:{target.getsockname()[1]}/api/post/speech/asr"
        faults = [
            f'[[fault]]\nkind = "redirect"\nlocation = "{location}"\nstatus = {status}\nat_most = 1\n'
            for status in (301, 302, 303, 307, 308)
        ]
        with start_server(faults="".join(faults)) as server:
            found = [failure(server.url, clip) for _ in faults]
        target.setblocking(False)
        with pytest.raises(BlockingIOError):
            target.accept()
    for error in found:
        assert isinstance(error, errors.Redirected)
        assert location in error.message


def test_a_port_where_nobody_listens(clip: Request) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error = failure(f"http://127.0.0.1:{unused.getsockname()[1]}/asr", clip)
    assert isinstance(error, errors.ConnectionFailed)
    assert (error.bytes_sent, error.billed) == (0, "no")


def test_spent_credits_are_the_accounts_fault(tmp_path: Path) -> None:
    clips = [clip_of(tmp_path / f"{n}.wav", wav(noise(f"spent {n}", 1))) for n in range(2)]
    with start_server(faults='[[fault]]\nkind = "credits_spent"\nafter_audio_s = 1') as server:
        ask(server.url, clips[0])
        assert isinstance(failure(server.url, clips[1]), errors.CreditsSpent)


def test_a_server_that_goes_away_takes_its_connections_with_it(tmp_path: Path) -> None:
    clips = [clip_of(tmp_path / f"{n}.wav", wav(noise(f"outage {n}", 1))) for n in range(3)]
    with start_server(faults='[[fault]]\nkind = "connection_refused"\nfor_s = 60') as server:
        assert isinstance(failure(server.url, clips[0]), errors.ConnectionFailed)
        assert isinstance(failure(server.url, clips[1]), errors.ConnectionFailed)


# -- the file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["shorter", "longer", "other content of the same size", "with its times kept"])
def test_a_file_that_is_no_longer_what_was_hashed_is_not_sent(
    server: RunningServer, tmp_path: Path, change: str
) -> None:
    path = tmp_path / "a.wav"
    clip = clip_of(path, wav(noise("shorter", 30)))
    with path.open("r+b") as file:
        if change == "shorter":
            file.truncate(600_000)
        else:
            file.seek(clip.version.size_bytes if change == "longer" else 0)
            file.write(b"RIFF, but other")
    if change == "with its times kept":
        os.utime(path, ns=(clip.version.mtime_ns, clip.version.mtime_ns))
    error = failure(server.url, clip)
    assert isinstance(error, errors.AudioUnavailable)
    assert error.message == "the file changed during the run; the next run transcribes it"
    assert error.bytes_sent == 0


def test_a_file_that_another_of_its_size_and_times_took_the_place_of_is_not_sent(
    server: RunningServer, tmp_path: Path
) -> None:
    path, other = tmp_path / "a.wav", tmp_path / "b.wav"
    clip = clip_of(path, wav(noise("first", 1)))
    other.write_bytes(wav(noise("second", 1)))
    os.utime(other, ns=(clip.version.mtime_ns, clip.version.mtime_ns))
    other.rename(path)
    assert path.stat().st_size == clip.version.size_bytes
    assert isinstance(failure(server.url, clip), errors.AudioUnavailable)


def test_a_path_that_became_a_pipe_holds_nothing_up(server: RunningServer, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    clip = clip_of(path, wav(noise("pipe", 1)))
    path.unlink()
    os.mkfifo(path)
    error = failure(server.url, clip)
    assert isinstance(error, errors.AudioUnreadable)
    assert error.message == "the path names no regular file"


def test_a_file_that_is_gone_is_missing_and_nothing_is_sent(server: RunningServer, clip: Request) -> None:
    Path(clip.path).unlink()
    error = failure(server.url, clip)
    assert isinstance(error, errors.AudioMissing)
    assert clip.path in error.message
    assert (error.bytes_sent, error.billed) == (0, "no")


def test_a_file_that_cannot_be_read_is_the_items_fault(server: RunningServer, clip: Request) -> None:
    Path(clip.path).unlink()
    Path(clip.path).mkdir()
    assert isinstance(failure(server.url, clip), errors.AudioUnreadable)


# -- the wire ---------------------------------------------------------------------------------------------------------


def test_the_request_is_what_the_documentation_asks_for(clip: Request) -> None:
    with Scripted(answer(READY + END, headers=NDJSON)) as peer:
        ask(peer.url, clip, delay_in_frames=24)
    (request,) = peer.requests
    lines = request.head.lower().splitlines()
    assert lines[0].startswith("post /api/post/speech/asr?model=default&json_config=%7b%22language%22")
    assert "http/1.1" in lines[0]
    assert f"x-api-key: {KEY}" in lines
    assert "content-type: audio/wav" in lines
    assert f"content-length: {clip.version.size_bytes}" in lines
    assert "accept-encoding: identity" in lines
    assert not [line for line in lines if line.startswith(("transfer-encoding", "cookie", "expect"))]
    assert request.body == Path(clip.path).read_bytes()


def test_settings_arrive_as_they_were_set(server: RunningServer, clip: Request) -> None:
    words = ["Zürich", "a+b", "50%", "x&y=z", "#1"]
    ask(server.url, clip, keywords={"words": words}, temp=0.5)
    with Scripted(answer(READY + END, headers=NDJSON)) as peer:
        ask(peer.url, clip, keywords={"words": words})
    query = parse_qs(peer.requests[0].head.split()[1].partition("?")[2], strict_parsing=True)
    assert json.loads(query["json_config"][0])["keywords"]["words"] == sorted(words)


def test_each_row_s_keywords_are_sent_with_it_and_the_configured_boost(clip: Request) -> None:
    changed = msgspec.structs.replace
    rows: list[dict[str, str]] = [{}, {"keywords": "b, a"}, {"keywords": '["Zürich"]'}]
    clips = [changed(clip, keywords=Utterance(id="u", audio="", metadata=metadata).keywords) for metadata in rows]
    with Scripted(*[answer(READY + END, headers=NDJSON)] * 3) as peer:
        for one in clips:
            ask(peer.url, one, keywords={"words": ["all"], "boost": 2})
    queries = [parse_qs(request.head.split()[1].partition("?")[2], strict_parsing=True) for request in peer.requests]
    sent = [json.loads(query["json_config"][0])["keywords"] for query in queries]
    assert sent == [{"words": words, "boost": 2} for words in (["all"], ["a", "b"], ["Zürich"])]


def test_a_request_travels_to_another_process(clip: Request) -> None:
    made = msgspec.structs.replace(clip, prefix=b"RIFF", span_bytes=(44, 100), keywords=("a", "b"), language="fr")
    assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301 our own bytes
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(made), type=Request) == made


def test_an_answer_without_length_that_says_end_of_stream_is_whole(clip: Request) -> None:
    with Scripted(answer(READY + WORD + END, headers=NDJSON, framed=False)) as peer:
        (found,) = ask(peer.url, clip)
    assert said(found) == [("one", 1.0, 1.5)]


@pytest.mark.parametrize("body", [b"", READY, READY + WORD, READY + WORD + END[:-4]])
def test_an_answer_without_length_that_does_not_say_so_may_be_cut(clip: Request, body: bytes) -> None:
    with Scripted(answer(body, headers=NDJSON, framed=False)) as peer:
        error = failure(peer.url, clip)
    assert isinstance(error, errors.StreamCut | errors.StreamMalformed)
    assert error.request_id == ("r-1" if body else None)


def test_an_answer_shorter_than_its_length_is_cut(clip: Request) -> None:
    with Scripted(answer(READY + WORD + END, headers=NDJSON)[: -len(END)]) as peer:
        assert isinstance(failure(peer.url, clip), errors.StreamCut)


@pytest.mark.parametrize(
    ("inside", "said"),
    [
        (b" ", "a line of the answer is longer than 1 MB"),
        (b" " * 999 + b"\n", "the answer is larger than the 1,130,496 bytes that its audio may give"),
        (b"\n", "the answer has more than 262,144 lines"),
    ],
    ids=["line", "answer", "lines"],
)
def test_a_compressed_answer_is_bounded_by_what_it_inflates_to(clip: Request, inside: bytes, said: str) -> None:
    bomb = gzip.compress(READY + inside * ((80 << 20) // len(inside)))
    tracemalloc.start()
    try:
        with Scripted(answer(bomb, headers={**NDJSON, "Content-Encoding": "gzip"})) as peer:
            error = failure(peer.url, clip)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (type(error), error.message, error.billed) == (errors.StreamMalformed, said, "maybe")
    assert error.request_id == "r-1"
    assert most < 4 << 20


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a", "the answer has more than the 1,062 words that its audio may hold"),
        (" ".join("abcdefghij"), "the answer has more than the 1,062 words that its audio may hold"),
        ("a" * 100, "the answer has more than the 21,240 characters that its audio may hold"),
        ("a" * 1001, "a word of the answer is longer than 1,000 characters"),
        ("a " + "b" * 1000, None),
    ],
)
def test_an_answer_is_bounded_by_its_audio(clip: Request, text: str, said: str | None) -> None:
    lines = (b'{"type":"text","text":"%s","start_s":%d}\n' % (text.encode(), number) for number in range(2_000))
    body = READY + (b"".join(lines) if said is not None else next(lines)) + END
    with Scripted(answer(body, headers=NDJSON)) as peer:
        if said is None:
            assert [word.text for word in ask(peer.url, clip)[0].words] == text.split()
            return
        error = failure(peer.url, clip)
    assert (type(error), error.message, error.billed) == (errors.StreamMalformed, said, "maybe")
    assert (error.request_id, error.http_status) == ("r-1", 200)


def test_the_deadline_ends_a_bomb_too(clip: Request) -> None:
    bomb = gzip.compress(READY + b'{"type":"new","of":[1,1,1,1]}\n' * 250_000)
    clip = msgspec.structs.replace(clip, duration_s=290.0)
    with Scripted(answer(bomb, headers={**NDJSON, "Content-Encoding": "gzip"})) as peer:
        assert isinstance(failure(peer.url, clip, deadline_s=0.2), errors.AttemptTimeout)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("body", [READY + WORD + END, b"\x1f\x8b" + bytes(99), b"x\x9c" + b"\xff" * 99])
def test_what_is_not_compressed_as_it_says_is_told_as_that(clip: Request, coding: str, body: bytes) -> None:
    with Scripted(answer(body, headers={**NDJSON, "Content-Encoding": coding})) as peer:
        error = failure(peer.url, clip)
    assert isinstance(error, errors.CompressedAnswer)
    assert error.message.startswith(f"the answer came compressed ({coding}), which was not asked for, and is damaged: ")
    assert (error.http_status, error.billed) == (200, "maybe")


def test_a_compressed_answer_with_a_wrong_check_sum_is_damaged(clip: Request) -> None:
    whole = gzip.compress(READY + WORD)
    body = whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:]  # the check sum
    with Scripted(answer(body, headers={**NDJSON, "Content-Encoding": "gzip"})) as peer:
        error = failure(peer.url, clip)
    assert isinstance(error, errors.CompressedAnswer)
    assert error.message.endswith("is damaged: Error -3 while decompressing data: incorrect data check")


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, br", "x" * 5000, "key " + KEY])
def test_a_coding_that_cannot_be_undone_is_named(clip: Request, coding: str) -> None:
    with Scripted(answer(READY + WORD + END, headers={**NDJSON, "Content-Encoding": coding})) as peer:
        error = failure(peer.url, clip)
    assert isinstance(error, errors.CompressedAnswer)
    shown = coding[:60].replace(KEY, "[API key]")
    assert error.message == f"the answer came compressed ({shown}), which was not asked for and cannot be undone here"


def test_an_answer_that_is_compressed_between_two_stations_is_read(clip: Request) -> None:
    body = gzip.compress(READY + WORD + END)
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
    with Scripted(head + chunked) as peer:
        (found,) = ask(peer.url, clip)
    assert said(found) == [("one", 1.0, 1.5)]


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (500, b"error from server 1008: API key is revoked or expired", errors.KeyRefused),
        (500, b"error from server 1011: internal server error", errors.ServerFault),
        (400, b"Concurrency limit exceeded: 3 active sessions", errors.ConcurrencyLimit),
        (500, b"unsupported content type for SST 'audio/mpeg'", errors.AudioRefused),
        (500, b"something new", errors.UnknownFault),
    ],
)
def test_a_compressed_refusal_is_told_by_its_text(
    clip: Request, status: int, text: bytes, kind: type[errors.AttemptError]
) -> None:
    with Scripted(answer(gzip.compress(text), status=status, headers={"Content-Encoding": "gzip"})) as peer:
        error = failure(peer.url, clip)
    assert (type(error), error.message) == (kind, text.decode())


@pytest.mark.parametrize(
    ("status", "kind", "billed"),
    [
        (401, errors.KeyRefused, "no"),
        (429, errors.RateLimited, "no"),
        (503, errors.ServerFault, "maybe"),
        (500, errors.CompressedAnswer, "maybe"),
        (422, errors.CompressedAnswer, "maybe"),
    ],
)
@pytest.mark.parametrize(("coding", "body"), [("br", b"\x0b\x02\x80hello\x03"), ("gzip", b"no gzip")])
def test_a_refusal_that_cannot_be_read_is_told_by_its_status(
    clip: Request, status: int, kind: type[errors.AttemptError], billed: str, coding: str, body: bytes
) -> None:
    with Scripted(answer(body, status=status, headers={"Content-Encoding": coding, "Retry-After": "7"})) as peer:
        error = failure(peer.url, clip)
    assert (type(error), error.billed, error.http_status, error.retry_after_s) == (kind, billed, status, 7)
    assert f"HTTP {status}, its text compressed ({coding})" in error.message


@pytest.mark.parametrize("body", [b"<html>Please log in to this network</html>", b"OK", b'{"status":"ok"}'])
def test_a_200_of_somebody_else_is_no_answer(clip: Request, body: bytes) -> None:
    with Scripted(answer(body)) as peer:
        assert isinstance(failure(peer.url, clip), errors.StreamMalformed)


@pytest.mark.parametrize("body", [b"", b"\n\r\n \n"])
def test_a_200_with_nothing_in_it_is_no_silence(clip: Request, body: bytes) -> None:
    with Scripted(answer(body, headers=NDJSON)) as peer:
        assert isinstance(failure(peer.url, clip), errors.EmptyAnswer)


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"HTTP/1.1",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"\x00" * 99,
        b"HTTP/1.1 200 \xff\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\xed\xa0\x80\r\n\r\n",
    ],
)
def test_what_is_no_http_is_a_failed_connection(clip: Request, reply: bytes) -> None:
    with Scripted(reply) as peer:
        error = failure(peer.url, clip)
    assert isinstance(error, errors.ConnectionFailed)
    error.message.encode()


@pytest.mark.parametrize("said_before", [READY, b'{"type":"step"}\n', READY + b'{"type":"step"}\n'])
def test_a_stream_without_words_that_does_not_say_it_ended_is_no_certain_silence(
    clip: Request, said_before: bytes
) -> None:
    for end, is_certain in ((b"", False), (END, True)):
        with Scripted(answer(said_before + end, headers=NDJSON)) as peer:
            (found,) = ask(peer.url, clip)
        assert (found.words, found.issues, found.is_certain) == ((), ("no_words",), is_certain)


def test_words_need_no_end_of_stream_to_be_certain(clip: Request) -> None:
    with Scripted(answer(READY + WORD, headers=NDJSON)) as peer:
        (found,) = ask(peer.url, clip)
    assert (said(found), found.is_certain) == ([("one", 1.0, 1.5)], True)


def test_a_refusal_that_breaks_off_is_still_that_refusal(clip: Request) -> None:
    reply = answer(b"error from server 1008: Concurrency limit exceeded" + bytes(50), status=500)[:-50]
    with Scripted(reply) as peer:
        error = failure(peer.url, clip)
    assert isinstance(error, errors.ConcurrencyLimit)
    assert error.http_status == 500


def test_an_endless_refusal_is_read_no_further_than_needed(clip: Request) -> None:
    with Scripted(answer(b"x" * 20_000_000, status=500)) as peer:
        error = failure(peer.url, clip)
    assert isinstance(error, errors.UnknownFault)
    assert len(error.message) == 2000


@pytest.mark.parametrize(
    "reply",
    [
        answer(f"error from server 1008: API key {KEY} is revoked or expired".encode(), status=500),
        answer(b'{"type":"error","message":"API key ' + KEY.encode() + b' is revoked or expired"}\n', headers=NDJSON),
        answer(b"", status=307, headers={"Location": f"https://elsewhere.example/?key={KEY}"}),
        answer(f"<p>{KEY}</p>".encode()),
        answer(f"{'x' * 1990} {KEY}".encode(), status=500),
    ],
)
def test_a_service_that_repeats_the_key_does_not_get_it_into_an_error(clip: Request, reply: bytes) -> None:
    with Scripted(reply) as peer:
        error = failure(peer.url, clip)
    chain: list[BaseException | None] = [error, error.__cause__, error.__context__]
    for found in chain:
        assert KEY[:6] not in f"{found!r} {found}"
    assert KEY[:6] not in error.message


@pytest.mark.parametrize(
    "texts",
    [
        [f"one {KEY} two ."],
        [f"one {KEY[:4]} {KEY[4:9]} {KEY[9:]} two", "."],
        ["one " + " ".join(KEY), "two."],
        ["one", *KEY, "two", "."],
        ["one", KEY[:7], f"{KEY[7:]} two ."],
    ],
)
def test_a_key_in_a_transcript_is_taken_out_also_where_it_is_spread_over_words(clip: Request, texts: list[str]) -> None:
    said_so = [{"type": "text", "text": text, "start_s": at} for at, text in enumerate(texts)]
    body = READY + b"".join(json.dumps(one).encode() + b"\n" for one in said_so) + END
    with Scripted(answer(body, headers=NDJSON)) as peer:
        found = ask(peer.url, clip)[0].words
    assert (found[0].text, found[-1].text) == ("one", "two.")
    for text in (f"{word.text} {word.written}" for word in found[1:-1]):
        assert text == "[API key] UNSET"


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_of_the_environment_is_not_asked(
    server: RunningServer, clip: Request, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with Scripted(answer(b"", status=502)) as proxy:
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        (found,) = ask(server.url, clip)
        assert said(found) == right(noise("plain", SECONDS))
        assert proxy.requests == []


def test_a_proxy_of_the_environment_is_asked_with_trust_env(clip: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with Scripted(answer(b"", status=502)) as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        error = failure("https://localhost:1/asr", clip, trust_env=True)
    assert (type(error), error.billed) == (errors.ConnectionFailed, "no")
    assert proxy.requests[0].head.startswith("CONNECT localhost:1 HTTP/1.1")
    assert KEY not in proxy.requests[0].head


def test_a_proxy_is_not_asked_to_carry_what_is_not_encrypted(
    server: RunningServer, clip: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with Scripted(answer(b"", status=502)) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        (found,) = ask(server.url, clip, trust_env=True)
    assert said(found) == right(noise("plain", SECONDS))
    assert proxy.requests == []


def test_certificates_named_by_the_environment_are_not_read(
    server: RunningServer, clip: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/there/is/no/such/file")
    (found,) = ask(server.url, clip)
    assert found.words


def test_a_clip_that_is_given_up_ends_its_request(clip: Request) -> None:
    async def cancelled(url: str) -> None:
        settings = request_settings(ServiceSettings())
        async with http_client(url, connect_s=5, idle_s=5, trust_env=False) as http:
            client = GradiumClient(http, Endpoint(url=url, key=KEY), settings, TimeoutSettings())
            task = asyncio.create_task(client.transcribe(clip))
            while not peer.requests:  # noqa: ASYNC110  the peer is a thread, and sets no event of this loop
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    with Scripted(None) as peer:  # it is done when the client has gone
        asyncio.run(cancelled(peer.url))


def test_cookies_are_not_sent_back(clip: Request) -> None:
    async def one_after_another(url: str) -> None:
        settings = request_settings(ServiceSettings())
        async with http_client(url, connect_s=5, idle_s=5, trust_env=False) as http:
            client = GradiumClient(http, Endpoint(url=url, key=KEY), settings, TimeoutSettings())
            await client.transcribe(clip)
            await client.transcribe(clip)

    with Scripted(answer(READY + WORD + END, headers={"Set-Cookie": "visit=1; Path=/"})) as peer:
        asyncio.run(one_after_another(peer.url))
    assert len(peer.requests) == 2
    assert not any("cookie" in request.head.lower() for request in peer.requests)


def test_a_complete_answer_counts_though_the_request_is_cut_off_while_its_rest_is_read(
    clip: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cut_off(url: str) -> Answer:
        reading = asyncio.Event()

        async def read_for_ever(chunks: object) -> None:
            reading.set()
            await asyncio.Event().wait()

        monkeypatch.setattr("pipeline.gradium.client.read_rest", read_for_ever)
        async with http_client(url, connect_s=5, idle_s=10, trust_env=False) as http:
            settings = request_settings(ServiceSettings())
            client = GradiumClient(http, Endpoint(url=url, key=KEY), settings, TimeoutSettings())
            request = asyncio.create_task(client.transcribe(clip))
            await reading.wait()
            request.cancel()
            return await request

    with Scripted(answer(READY + WORD + END, headers=NDJSON)) as peer:
        assert [word.text for word in asyncio.run(cut_off(peer.url)).words] == ["one"]

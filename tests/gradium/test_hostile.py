"""Whatever a peer sends, however it ends: the answer is complete and believed, or it is an error of its class.

And the next request on the same client gets its own answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline import errors
from pipeline.config.settings import ServiceSettings, TimeoutSettings
from pipeline.exchange import Answer, Endpoint, Request
from pipeline.gradium import response
from pipeline.gradium.client import GradiumClient
from pipeline.gradium.request import request_settings
from pipeline.gradium.transport import http_client
from tests.gradium.hostile import CODINGS, LINES, Exchange, HostilePeer, right
from tests.gradium.test_client import clip_of
from tests.servers import KEY

LARGE_BYTES = 12 << 20
"""Half of it is more than a client's and a peer's socket buffers hold together."""
NEXT = Exchange(lines=("ready", "pair", "end"))
DEADLINE_S = 0.2
"""For what never ends."""


class Clips(NamedTuple):
    small: Request
    large: Request


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    folder = tmp_path_factory.mktemp("clips")
    return Clips(clip_of(folder / "small.wav", b"s" * 3000), clip_of(folder / "large.wav", b"l" * LARGE_BYTES))


@pytest.fixture(scope="module", autouse=True)
def short_rest() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(response, "REST_S", 0.05)
        patch.setattr(response, "REFUSAL_S", 0.05)
        yield


class Outcome(NamedTuple):
    first: Answer | errors.AttemptError
    second: Answer | errors.AttemptError
    peer: HostilePeer


def exchanged(exchange: Exchange, clips: Clips) -> Outcome:
    """The exchange, and one as it should be right after it on the same client."""
    deadline_s = DEADLINE_S if errors.AttemptTimeout in right(exchange).errors else 20
    timeouts = TimeoutSettings(attempt_base_s=deadline_s, attempt_per_audio_s=0)
    clip = clips.small if exchange.start == "after" else clips.large

    async def ask(peer: HostilePeer) -> Outcome:
        async with http_client(peer.url, connect_s=5, idle_s=10, trust_env=False) as http:
            client = GradiumClient(http, Endpoint(url=peer.url, key=KEY), request_settings(ServiceSettings()), timeouts)
            try:
                first = await attempt(client, clip)
            finally:
                peer.decided.set()
            return Outcome(first, await attempt(client, clips.small), peer)

    with HostilePeer([exchange, NEXT]) as peer:
        return asyncio.run(ask(peer))


async def attempt(client: GradiumClient, clip: Request) -> Answer | errors.AttemptError:
    try:
        return await client.transcribe(clip)
    except errors.AttemptError as error:
        return error


def words(answer: Answer | errors.AttemptError) -> tuple[str, ...]:
    assert isinstance(answer, Answer), answer
    return tuple(word.text for word in answer.words)


def check(exchange: Exchange, clips: Clips) -> None:
    wanted = right(exchange)
    first, second, peer = exchanged(exchange, clips)
    if wanted.errors:
        assert type(first) in wanted.errors, first
        assert isinstance(first, errors.AttemptError)
        # on a busy machine a short deadline may end before a byte went out
        assert first.billed == (wanted.billed if first.bytes_sent else "no") or wanted.billed is None
        first.message.encode()
    else:
        assert words(first) == wanted.words
        assert isinstance(first, Answer)
        assert (first.issues, first.is_certain) == (wanted.issues, wanted.is_certain)
        assert first.bytes_sent == clips.small.version.size_bytes
    assert words(second) == ("t\U0001f600",)
    before, after = peer.seen
    if not exchange.is_reusable:
        assert after.connection != before.connection
        assert before.gone or exchange.ending == "reset"
    elif not wanted.errors and exchange.one_write:  # in many packets its end may come too late on a busy machine
        assert after.connection == before.connection
    if exchange.start != "after":
        assert before.read_bytes < LARGE_BYTES  # the rest was not written in the background


some_lines = st.lists(st.sampled_from(sorted(LINES)), max_size=7).map(tuple)
good_lines = st.just(Exchange().lines)
closed_lines = st.tuples(some_lines, st.sampled_from(["end", "end_glued"]), some_lines).map(
    lambda parts: (*parts[0], parts[1], *parts[2])
)
exchanges = st.builds(
    Exchange,
    framing=st.sampled_from(["length", "chunked", "unframed"]),
    keep_alive=st.booleans(),
    start=st.sampled_from(["after", "after", "before", "half"]),
    lines=good_lines | some_lines | closed_lines,
    ending=st.sampled_from(["clean", "stray", "garbage", "fin", "reset", "open"]),
    one_write=st.booleans(),
    refuses=st.sampled_from([False] * 9 + [True]),
    coding=st.none() | st.sampled_from(CODINGS),
    is_coding_cut=st.booleans(),
).map(lambda exchange: replace(exchange, ending="open") if _is_stray_body(exchange) else exchange)


def _is_stray_body(exchange: Exchange) -> bool:
    return exchange.framing == "unframed" and exchange.ending in ("stray", "garbage")


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(exchanges)
@example(Exchange(lines=("ready", "step")))
@example(Exchange(lines=("unknown", "blank")))
@example(Exchange(lines=("ready", "text", "limit")))
@example(Exchange(lines=("ready", "surrogate", "bytes", "pair", "end")))
def test_an_exchange_is_an_answer_or_its_error_and_leaves_nothing_to_the_next(clips: Clips, exchange: Exchange) -> None:
    check(exchange, clips)


@pytest.mark.parametrize("start", ["before", "half", "after"])
@pytest.mark.parametrize("ending", ["clean", "stray", "garbage", "fin", "reset", "open"])
@pytest.mark.parametrize("framing", ["length", "chunked", "unframed"])
def test_a_complete_answer_counts_however_it_ends_once_the_whole_body_went_out(
    clips: Clips, framing: str, ending: str, start: str
) -> None:
    exchange = Exchange(framing=framing, ending=ending, start=start)  # type: ignore[arg-type]
    if not _is_stray_body(exchange):
        check(exchange, clips)


@pytest.mark.parametrize("start", ["before", "half", "after"])
@pytest.mark.parametrize("ending", ["clean", "stray", "garbage", "fin", "reset", "open"])
@pytest.mark.parametrize("framing", ["length", "chunked", "unframed"])
def test_a_refusal_is_that_refusal_however_it_ends(clips: Clips, framing: str, ending: str, start: str) -> None:
    exchange = Exchange(framing=framing, ending=ending, start=start, refuses=True)  # type: ignore[arg-type]
    if not _is_stray_body(exchange):
        check(exchange, clips)


@pytest.mark.parametrize("after", ["text", "error", "limit", "broken", "html", "end", "surrogate"])
@pytest.mark.parametrize("one_write", [True, False])
def test_nothing_after_end_of_stream_counts(clips: Clips, after: str, one_write: bool) -> None:
    check(Exchange(lines=("ready", "text", "end_text", "end", after), one_write=one_write), clips)


@pytest.mark.parametrize("is_coding_cut", [False, True])
@pytest.mark.parametrize("lines", [Exchange().lines, ("ready", "text"), ("blank",)])
@pytest.mark.parametrize("coding", CODINGS)
def test_a_compressed_answer_is_read_or_says_how_it_is_compressed(
    clips: Clips, coding: str, lines: tuple[str, ...], is_coding_cut: bool
) -> None:
    check(Exchange(coding=coding, lines=lines, is_coding_cut=is_coding_cut), clips)


@pytest.mark.parametrize("is_coding_cut", [False, True])
@pytest.mark.parametrize("coding", CODINGS)
def test_a_compressed_refusal_is_classified_by_its_text(clips: Clips, coding: str, is_coding_cut: bool) -> None:
    check(Exchange(coding=coding, refuses=True, is_coding_cut=is_coding_cut), clips)

"""Refusals as too long: known by their words, with the limit that they name; what is about something else is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import AttemptError, AudioRefused, ClipTooLong, ConcurrencyLimit, CreditsSpent, RateLimited
from pipeline.gradium import classify
from pipeline.gradium.too_long import as_too_long

LONG_S = 2999.5


def refused(text: str, *, status: int = 500, sent_s: float = LONG_S, html: bool = False) -> AttemptError:
    headers = {"content-type": "text/html" if html else "text/plain"}
    return as_too_long(classify.refused(status, headers, text), sent_s)


@pytest.mark.parametrize(
    ("text", "limit_s"),
    [
        ("error from server 1008: audio of 2999.5 s is longer than the limit of 300 s", 300),
        ("error from server 1008: invalid audio: 2999.5 s is longer than 300 s", 300),
        ("error from server Some(1008): audio too long: 3000 s exceeds maximum of 300 seconds", 300),
        ("error from server 1011: maximum session duration of 5 minutes exceeded", 300),
        (
            "error from server 1011: maximum session duration exceeded\n\nQuote your API key and request 7 to support",
            None,
        ),
        ("Session limit reached: 300 seconds", 300),
        ("Max audio length is 600s", 600),
        ("error from server 1008: at most 300 seconds of audio per session", 300),
        ("audio limit of 600 s per request exceeded", 600),
        ("The service takes up to 10 min of audio", 600),
        ("your plan allows at most 0.5 hours of audio", 1800),
        ("Audio duration 2999.5 exceeds maximum 300", 300),
        ('{"detail": "audio longer than 300000 ms"}', 300),
        ('{"detail": [{"msg": "audio is longer than 1,200 s", "code": 1008}]}', 1200),
        ("audio too large", None),
        ("error from server 1008: audio too long", None),
        ("error from server 1008: audio too long (50 minutes)", None),
        ("error from server 1008: audio of 49.9 minutes is too long", None),
        ("request body exceeds 25 MB", None),
        ("Payload too large", None),
        ("duration 3000 s exceeds 2 s", None),
    ],
)
@pytest.mark.parametrize("status", [400, 413, 422, 500])
def test_a_long_clip_is_refused_as_too_long_by_any_sentence_about_length(
    text: str, limit_s: float | None, status: int
) -> None:
    error = refused(text, status=status)
    assert isinstance(error, ClipTooLong)
    assert error.limit_s == limit_s
    assert (error.message, error.http_status) == (text, status)


@pytest.mark.parametrize("text", ["<html><h1>413 Request Entity Too Large</h1>nginx/1.18.0</html>", "", "no"])
def test_a_long_clip_that_gets_413_is_too_long_whoever_says_so(text: str) -> None:
    error = refused(text, status=413, html=text.startswith("<"))
    assert isinstance(error, ClipTooLong)
    assert error.limit_s is None
    assert type(refused(text, status=413, sent_s=299.9)) is not ClipTooLong


@pytest.mark.parametrize(
    "text",
    [
        "error from server 1008: Concurrency limit exceeded: 3 active sessions",
        "Concurrency limit exceeded: audio sessions longer than 60 s count twice",
        "error from server 1008: API key is revoked or expired",
        "error from server 1008: You have exceeded your quota of 60 minutes of audio per month",
        "audio limit exceeded: at most 600 s per minute",
        "error from server 1011: internal server error",
        "error from server 1011: A language is required to start an ASR session. Supported languages: en, fr, any.",
        "unsupported content type for SST 'audio/mpeg'",
        "error from server 1008: invalid WAV: unsupported AudioFormat 3 (float), only 1 (PCM) is supported",
        "error from server 1008: invalid WAV: unsupported 8 bits per sample, only 16, 24 and 32 are supported",
        "Overloaded: input queue too long",
        "session limit exceeds your plan",
        "deadline exceeded for this request",
        "upstream request timeout exceeded 60 s",
        "Too many requests",
        "too many keywords: max 500",
        "",
    ],
)
def test_a_refusal_for_something_else_stays_what_it_is(text: str) -> None:
    for sent_s in (LONG_S, 200.0):
        assert type(refused(text, sent_s=sent_s)) is type(classify.refused(500, {}, text))


def test_a_page_is_no_word_of_the_service() -> None:
    assert not isinstance(refused("<html>maximum request length exceeded</html>", html=True), ClipTooLong)


@pytest.mark.parametrize(
    ("text", "sent_s", "limit_s"),
    [
        ("error from server 1008: audio is longer than the limit of 60 s", 200.0, 60),
        ("error from server 1008: audio too long: 200 s exceeds maximum of 2 minutes", 200.0, 120),
        ("error from server 1008: audio is longer than the limit of 300 s", 300.0, None),
        ("error from server 1008: audio is longer than the limit of 299.9 s", 299.95, 299.9),
        ("error from server 1008: audio too long: 300.0 s exceeds maximum of 299.9 s", 299.96, 299.9),
        ("error from server 1008: audio too long: 8.6 s exceeds the maximum of 8 seconds", 8.57, 8),
        ("error from server 1008: audio too long (maximum: 290 s)", 292.0, 290),
        ("error from server 1008: audio exceeds the maximum: it has 199.5 s", 200.0, None),
        ("error from server 1008: audio is longer than the limit of 4 s", 200.0, None),
        ("error from server 1008: audio too long", 200.0, None),
        ("error from server 1008: audio too long (max 60)", 200.0, None),
        ("error from server 1008: audio of 199.5 s is too long", 200.0, None),
    ],
)
def test_a_clip_of_the_usual_length_is_too_long_only_where_a_smaller_limit_is_named(
    text: str, sent_s: float, limit_s: float | None
) -> None:
    error = refused(text, sent_s=sent_s)
    assert isinstance(error, AudioRefused)
    assert isinstance(error, ClipTooLong) == (limit_s is not None)
    assert getattr(error, "limit_s", None) == limit_s


def test_in_the_stream_the_same_words_mean_the_same() -> None:
    error = classify.in_stream("maximum session duration of 5 minutes exceeded", 1008, is_first=False)
    assert isinstance(as_too_long(error, LONG_S), ClipTooLong)
    limit = classify.in_stream("Concurrency limit exceeded: 3 active sessions", 1008, is_first=True)
    assert isinstance(as_too_long(limit, LONG_S), ConcurrencyLimit)


def test_what_this_client_says_of_an_answer_is_no_refusal() -> None:
    assert as_too_long(timeout := classify.transport(TimeoutError(), streaming=False), LONG_S) is timeout
    assert as_too_long(redirect := refused("", status=302), LONG_S) is redirect


@given(st.text(max_size=2000), st.sampled_from([200, 400, 413, 500]), st.floats(0.1, 3000))
def test_whatever_is_said_the_limit_is_one_that_helps(text: str, status: int, sent_s: float) -> None:
    error = as_too_long(AudioRefused(text, reason=text, http_status=status), sent_s)
    if isinstance(error, ClipTooLong) and error.limit_s is not None:
        assert 5 <= error.limit_s < sent_s


@pytest.mark.parametrize(
    "text", ["Request limit exceeded", "Maximum audio reached", '{"detail": "audio limit exceeded"}']
)
@pytest.mark.parametrize(("status", "kind"), [(429, RateLimited), (402, CreditsSpent)])
def test_a_limit_on_requests_or_credits_is_none_on_length(text: str, status: int, kind: type[AttemptError]) -> None:
    assert type(refused(text, status=status)) is kind

"""What a failure is: a table of what may arrive, and the class, code and pause it becomes."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline import errors
from pipeline.gradium import classify
from pipeline.pool.refusals import same_words
from pipeline.texts import MAX_MESSAGE

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta http-equiv="Content-Language" content="en"><title>{title}</title></head>
<body><h1>{title}</h1><p>Invalid language setup. Too many requests. The API key of this file format is spent.</p></body>
</html>"""

REFUSALS = [
    # documented
    (500, "error from server 1008: API key is revoked or expired", errors.KeyRefused, 1008),
    (500, "error from server 1008: missing API key", errors.KeyRefused, 1008),
    (500, "error from server 1008: invalid api_key", errors.KeyRefused, 1008),
    (500, "error from server 1008: bad format", errors.AudioRefused, 1008),
    (500, "error from server 1008: bad setup", errors.SettingsRefused, 1008),
    (500, "error from server 1008: invalid json_config: temp 7 is not between 0 and 1.5", errors.SettingsRefused, 1008),
    (500, "error from server 1008: setup message could not be understood", errors.SettingsRefused, 1008),
    (500, "error from server 1008: no model of this name: foo", errors.SettingsRefused, 1008),
    (500, "error from server 1011: internal server error", errors.ServerFault, 1011),
    (500, "unsupported content type for SST 'audio/mpeg'", errors.AudioRefused, None),
    # seen
    (500, "error from server 1008: Concurrency limit exceeded: at most 2 sessions", errors.ConcurrencyLimit, 1008),
    (500, "Concurrency limit exceeded", errors.ConcurrencyLimit, None),
    (429, "Concurrency limit exceeded", errors.ConcurrencyLimit, None),
    (503, "error from server 1008: Concurrency limit exceeded", errors.ConcurrencyLimit, 1008),
    (500, "error from server 1011: Concurrency limit exceeded", errors.ConcurrencyLimit, 1011),
    (500, "error from server Some(1008): API key is revoked or expired", errors.KeyRefused, 1008),
    (500, "error from server 1008: number of concurrent sessions exceeds the plan", errors.ConcurrencyLimit, 1008),
    # the words are not known
    (500, "error from server 1008: Insufficient credits: no credits remaining", errors.CreditsSpent, 1008),
    (500, "error from server 1008: your monthly quota is exhausted", errors.CreditsSpent, 1008),
    (402, "Payment Required", errors.CreditsSpent, None),
    (500, "error from server 1008: audio of 301.0 s is longer than the limit of 300 s", errors.AudioRefused, 1008),
    (500, "error from server 1008: failed to decode the audio", errors.AudioRefused, 1008),
    (500, "error from server 1008: sample rate limit is 48000", errors.UnknownFault, 1008),
    # what is blamed by something that failed inside is not to blame
    (500, "error from server 1011: language model setup failed", errors.ServerFault, 1011),
    (500, "error from server 1011: could not read input file", errors.ServerFault, 1011),
    (500, "error from server 1011: invalid API key for storage", errors.ServerFault, 1011),
    # middleboxes
    (401, "", errors.KeyRefused, None),
    (403, "Forbidden", errors.AccessDenied, None),
    (404, "404: Not Found", errors.SettingsRefused, None),
    (413, "", errors.AccessDenied, None),
    (413, "error from server 1008: audio too long", errors.AudioRefused, 1008),
    (415, "", errors.AccessDenied, None),
    (415, "unsupported content type for SST 'audio/mpeg'", errors.AudioRefused, None),
    (413, "<html><h1>413 Request Entity Too Large</h1></html>", errors.AccessDenied, None),
    (429, "slow down", errors.RateLimited, None),
    (502, "Bad Gateway", errors.ServerFault, None),
    (503, "invalid language in API key file format", errors.ServerFault, None),
    (504, "", errors.ServerFault, None),
    (408, "", errors.ServerFault, None),
    (500, "upstream connect error or disconnect before headers", errors.UnknownFault, None),
    (500, "upstream connection setup timed out", errors.UnknownFault, None),
    (500, "", errors.UnknownFault, None),
    (500, "error from server 4242: something new", errors.UnknownFault, 4242),
    (500, "error from server soon: something new", errors.UnknownFault, None),
    (418, "I'm a teapot", errors.UnknownFault, None),
    (204, "", errors.UnknownFault, None),
    (520, "", errors.UnknownFault, None),
]


@pytest.mark.parametrize(("status", "body", "kind", "code"), REFUSALS)
def test_a_refusal_is_known_by_its_words_before_its_status(
    status: int, body: str, kind: type[errors.AttemptError], code: int | None
) -> None:
    error = classify.refused(status, httpx.Headers(), body)
    assert type(error) is kind
    assert (error.http_status, error.code) == (status, code)
    assert error.message == (body or f"HTTP {status} with an empty body")


@pytest.mark.parametrize(
    ("status", "kind"),
    [(500, errors.UnknownFault), (502, errors.ServerFault), (504, errors.ServerFault), (429, errors.RateLimited)],
)
@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "text/plain"])
def test_the_words_of_a_html_page_are_not_the_services(
    status: int, kind: type[errors.AttemptError], content_type: str
) -> None:
    error = classify.refused(status, {"content-type": content_type}, PAGE.format(title="Gateway"))
    assert type(error) is kind


@pytest.mark.parametrize(("status", "kind"), [(s, errors.AccessDenied) for s in (401, 402, 403)])
@pytest.mark.parametrize(
    ("content_type", "page"),
    [
        ("text/html", PAGE.format(title="Forbidden")),
        ("text/plain", "\ufeff<html>no credits left, invalid audio file</html>"),
        ("text/html", "error from server 1008: API key is revoked or expired"),
        ("text/plain", "\r\n403 Forbidden <html><body>API key</body></html>"),
        ("application/json", '{"error": "<html>no credits left</html>"}'),
    ],
)
def test_a_page_that_denies_access_is_about_its_exchange_only(
    status: int, kind: type[errors.AttemptError], content_type: str, page: str
) -> None:
    error = classify.refused(status, {"content-type": content_type}, page)
    assert type(error) is kind
    assert error.code is None


PASSING = errors.UnknownFault
SENTENCES = [
    # whose subject is the audio, and that tell of its content or length: only these fail a recording for good
    ("bad format", errors.AudioRefused),
    ("bad format: the moon is full", errors.AudioRefused),
    ("bad audio", errors.AudioRefused),
    ("invalid audio file", errors.AudioRefused),
    ("invalid audio: not an Ogg stream with Opus in it", errors.AudioRefused),
    ("invalid WAV: unsupported AudioFormat 3", errors.AudioRefused),
    ("unsupported content type for SST 'audio/mpeg'", errors.AudioRefused),
    ("unsupported input_format 'mp3'", errors.AudioRefused),
    ("unsupported sample rate 11025", errors.AudioRefused),
    ("corrupted WAV header", errors.AudioRefused),
    ("the recording is corrupt", errors.AudioRefused),
    ("audio data is truncated", errors.AudioRefused),
    ("file is not audio", errors.AudioRefused),
    ("empty audio", errors.AudioRefused),
    ("failed to decode the audio", errors.AudioRefused),
    ("error decoding opus packet 3", errors.AudioRefused),
    ("could not parse the uploaded file", errors.AudioRefused),
    ("could not read the audio", errors.AudioRefused),
    ("audio decoding failed", errors.AudioRefused),
    ("the audio could not be decoded", errors.AudioRefused),
    ("audio of 301.0 s is longer than the limit of 300 s", errors.AudioRefused),
    ("Audio exceeds the maximum duration of 3000 seconds", errors.AudioRefused),
    ("audio exceeds the session limit of 300 s", errors.AudioRefused),
    ("the input audio is too long", errors.AudioRefused),
    ("recording too short", errors.AudioRefused),
    ("file too large: 80 MB", errors.AudioRefused),
    # whatever they blame, they are not about the audio
    ("Overloaded: input queue too long", PASSING),
    ("audio input queue too long", PASSING),
    ("session limit exceeds your plan", PASSING),
    ("audio sessions exceed what your plan carries", PASSING),
    ("failed to read file descriptor", PASSING),
    ("bad file descriptor", PASSING),
    ("invalid file handle", PASSING),
    ("decode error in upstream file storage", PASSING),
    ("could not decode audio: out of memory", PASSING),
    ("audio decoding failed: worker crashed", PASSING),
    ("failed to decode audio, try again later", PASSING),
    ("audio cannot be read from bucket", PASSING),
    ("file too large for the cache", PASSING),
    ("recording service too large a backlog", PASSING),
    ("could not parse response of audio backend", PASSING),
    ("could not read input", PASSING),
    ("input too long", PASSING),
    ("session too long", PASSING),
    ("malformed header", PASSING),
    ("invalid input", PASSING),
    ("audio server exceeds its capacity", PASSING),
    ("file system exceeds its limits", PASSING),
    ("unsupported file system", PASSING),
    ("parse error: file not found", PASSING),
    ("profile too long", PASSING),
    ("audiobook is too long to wait for", PASSING),
    ("disk quota exceeded", PASSING),
    ("storage quota exceeded", PASSING),
    ("CUDA error while decoding audio", PASSING),
    ("audio: request timed out", PASSING),
    ("something new", PASSING),
    ("", PASSING),
    # limits, credits, keys, settings
    ("Concurrency limit exceeded: 3 active sessions", errors.ConcurrencyLimit),
    ("too many active sessions for this audio", errors.ConcurrencyLimit),
    ("Quota exceeded for requests per minute", errors.RateLimited),
    ("quota of audio seconds per minute exceeded", errors.RateLimited),
    ("limit of 60 requests/min reached", errors.RateLimited),
    ("rate limit: audio too long ago", errors.RateLimited),
    ("sample rate limit is 48000", PASSING),
    ("no credits left", errors.CreditsSpent),
    ("Insufficient credits: no credits remaining for this billing period", errors.CreditsSpent),
    ("API key is revoked or expired", errors.KeyRefused),
    ("Invalid or expired API key", errors.KeyRefused),
    ("No authentication provided.", errors.KeyRefused),
    ("bad setup", errors.SettingsRefused),
    ("invalid json_config: temp 7 is not between 0 and 1.5", errors.SettingsRefused),
]


@pytest.mark.parametrize(("sentence", "kind"), SENTENCES)
def test_only_a_sentence_about_its_audio_fails_a_recording_for_good(
    sentence: str, kind: type[errors.AttemptError]
) -> None:
    told = f"error from server 1008: {sentence}\nIf you need help about the API key, audio file or quota: write to us."
    plain, json_ = f"{sentence}\nno API key?" if sentence else "", f'{{\n  "detail": "{sentence}"\n}}'
    for error in (classify.refused(500, {}, body) for body in (told, plain, json_)):
        assert type(error) is kind
        assert error.reason == sentence or not sentence
    within = classify.in_stream(sentence, 1008, is_first=True)
    assert type(within) is (errors.StreamError if kind is PASSING else kind)
    inside = classify.refused(500, {}, f"error from server 1011: {sentence}")
    expected = errors.SettingsInvalid if kind is errors.SettingsRefused else errors.ServerFault
    assert type(inside) is (kind if issubclass(kind, errors.LimitError) else expected)


@pytest.mark.parametrize(("sentence", "kind"), SENTENCES)
def test_a_429_is_a_limit_whatever_its_words(sentence: str, kind: type[errors.AttemptError]) -> None:
    expected = errors.ConcurrencyLimit if kind is errors.ConcurrencyLimit else errors.RateLimited
    for body in (sentence, f"error from server 1008: {sentence}"):
        assert type(classify.refused(429, {}, body)) is expected
    assert type(classify.refused(429, {"content-type": "text/html"}, sentence)) is errors.RateLimited


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 304])
def test_a_redirect_says_where_it_would_have_led(status: int) -> None:
    error = classify.refused(status, httpx.Headers({"Location": "https://elsewhere.example/"}), "")
    assert type(error) is errors.Redirected
    assert error.http_status == status
    if status != 304:
        assert "https://elsewhere.example/" in error.message


@pytest.mark.parametrize(
    ("message", "code", "kind", "number"),
    [
        ("internal error", 1011, errors.ServerFault, 1011),
        ("error from server 1011: internal server error", None, errors.ServerFault, 1011),
        ("error from server 1008: API key is revoked or expired", None, errors.KeyRefused, 1008),
        ("Concurrency limit exceeded", 1008, errors.ConcurrencyLimit, 1008),
        ("Concurrency limit exceeded", None, errors.ConcurrencyLimit, None),
        ("invalid language 'xx'", 1008, errors.SettingsRefused, 1008),
        ("Insufficient credits", "1008", errors.CreditsSpent, 1008),
        ("corrupt audio", "policy", errors.AudioRefused, None),
        ("something new", None, errors.StreamError, None),
        ("something new", 10**20, errors.StreamError, None),
        ("", None, errors.StreamError, None),
    ],
)
def test_an_error_within_the_stream(
    message: str, code: int | str | None, kind: type[errors.AttemptError], number: int | None
) -> None:
    error = classify.in_stream(message, code, is_first=True)
    assert type(error) is kind
    assert (error.http_status, error.code) == (200, number)
    assert error.message == (message or "an error without a message")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 120 ", 120.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("999999999", 999_999_999.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("9999999999999999", None),
        ("-5", None),
        ("1e9", None),
        ("soon", None),
        ("", None),
        ("Fri, 31 Feb 2031 00:00:00 GMT", None),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
        ("Fri, 31 Dec 99999999999999999999 23:59:59 GMT", None),
        ("Fri, 31 Dec 2031 23:59:59 +99999999999999999999", None),
        ("٣", None),
    ],
)
def test_retry_after_is_read_where_it_makes_sense(value: str, seconds: float | None) -> None:
    assert classify.refused(503, {"retry-after": value}, "").retry_after_s == seconds


def test_retry_after_may_be_a_date() -> None:
    until = datetime.now(UTC) + timedelta(seconds=90)
    pause = classify.refused(429, {"retry-after": format_datetime(until, usegmt=True)}, "").retry_after_s
    assert pause is not None
    assert 80 < pause <= 90


@given(st.text(max_size=40) | st.from_regex(re.compile(r"\w{3}, [0-9]{1,5} \w{3} [0-9]{1,6} [0-9:]{1,8} [+-]?\w{1,9}")))
@example("0\x1f")
def test_no_retry_after_is_odd_enough_to_break_anything(value: str) -> None:
    pause = classify.refused(503, {"retry-after": value}, "").retry_after_s
    assert pause is None or pause >= 0


@given(st.integers(201, 599), st.text(max_size=80))
def test_whatever_is_said_becomes_an_error_of_ours(status: int, body: str) -> None:
    assert isinstance(classify.refused(status, {}, body), errors.AttemptError)
    assert isinstance(classify.in_stream(body, body, is_first=True), errors.AttemptError)


@pytest.mark.parametrize(
    ("error", "streaming", "kind"),
    [
        (httpx.ConnectError("refused"), False, errors.ConnectionFailed),
        (httpx.ConnectTimeout("server disconnected"), False, errors.ConnectionFailed),
        (httpx.ConnectTimeout("connection reset"), True, errors.StreamCut),
        (httpx.ReadTimeout("no byte"), False, errors.AttemptTimeout),
        (httpx.ReadTimeout("no byte"), True, errors.AttemptTimeout),
        (TimeoutError(), True, errors.AttemptTimeout),
        (httpx.ReadError("payload is not completed"), True, errors.StreamCut),
        (ConnectionResetError("reset by peer"), False, errors.ConnectionFailed),
    ],
)
def test_a_broken_exchange(error: Exception, streaming: bool, kind: type[errors.AttemptError]) -> None:
    found = classify.transport(error, streaming=streaming)
    assert type(found) is kind
    assert found.message == (str(error) or type(error).__name__)


def test_presentable_text_can_be_written_to_any_file() -> None:
    said = classify.presentable(b"caf\xe9 \xf0".decode("utf-8", "surrogateescape") + " \ud83d \U0001f600", "gd_secret")
    assert said == "caf\ufffd \ufffd \ufffd \U0001f600"


def test_presentable_text_holds_no_key_and_has_bounds() -> None:
    said = classify.presentable("the key gd_secret is unknown. " + "x" * 5000, "gd_secret")
    assert said.startswith("the key [API key] is unknown.")
    assert len(said) == MAX_MESSAGE


def test_a_key_at_the_place_where_the_text_is_cut_leaves_no_piece() -> None:
    assert "gd_" not in classify.presentable("x" * (MAX_MESSAGE - 4) + "gd_secret", "gd_secret")


REPEATED = [
    *("quota ", "credit ", "balance exhauste ", "requests per ", "session/", "audio ", "recording data ", "invalid "),
    *(
        "invalid audio",
        "audio is ",
        "decode the ",
        "read your ",
        "parse of the input ",
        "a" * 7,
        "' ",
        "/",
        "7",
        "7/",
        " ",
    ),
    *(
        "<",
        "<htm",
        "error from server ",
        "error from server 1008: ",
        "Some(1008):",
        "\\u00",
        "%25",
        "&#x",
        "\n",
        "{",
        "[",
    ),
]


@pytest.mark.parametrize("unit", REPEATED)
@pytest.mark.parametrize("before", ["", "error from server 1008: "])
def test_however_long_a_refusal_is_it_is_judged_at_once(unit: str, before: str) -> None:
    """With patterns that look on from each place 64 KB took half a minute, in which nothing else happened."""
    said = before + unit * ((64 << 10) // len(unit))
    begun = time.process_time()
    for status in (200, 403, 429, 500):
        error = classify.in_stream(said, None, is_first=True) if status == 200 else classify.refused(status, {}, said)
        same_words(error.message)
    assert time.process_time() - begun < 1

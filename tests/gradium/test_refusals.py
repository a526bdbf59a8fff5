"""Refusals as they really look: what each becomes, and that neither footer nor form changes it.

A refusal is written as its status, headers and body, or as the `error` message that a stream begins with (status 200).
"""

from __future__ import annotations

import json
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline import errors
from pipeline.exchange import Request
from pipeline.gradium import billing, classify
from pipeline.gradium.reason import read
from pipeline.gradium.setting_words import blames_setting
from pipeline.pool.refusals import same_words
from tests.gradium.blamed import A_SETTING, NO_SETTING
from tests.gradium.scripted import Scripted, answer
from tests.gradium.test_client import clip_of, failure
from tests.servers import KEY

FOOTER = """
Need help? Write to support@gradium.ai and name your request id 5f3c-77; never send your API key.
<html> Concurrency limit? error from server 1008: no credits
{"code": 1011}"""
HTML = {"content-type": "text/html; charset=utf-8"}
JSON = {"content-type": "application/json"}
WAIT = {"retry-after": "7"}
LANGUAGE = "A language is required to start an ASR session. Supported languages: en, fr, de, es, pt, any."
LIMIT = "Concurrency limit exceeded: 3 active sessions"
KEY_BAD = "API key is revoked or expired"
CDN = "<!DOCTYPE html><title>{} | cdn</title>\nYour API key, no credits, bad audio file, Concurrency limit exceeded"

Row = tuple[int, dict[str, str], str, type[errors.AttemptError], int | None, Literal["no", "maybe"]]


def stream(message: Any, code: Any = None) -> str:
    line = {"type": "error", "message": message} | ({} if code is None else {"code": code})
    return json.dumps(line) + "\n"


TABLE: dict[str, Row] = {
    # the documented form, and as it is seen
    "key": (500, {}, f"error from server 1008: {KEY_BAD}", errors.KeyRefused, 1008, "no"),
    "key, Some": (500, {}, f"error from server Some(1008): {KEY_BAD}", errors.KeyRefused, 1008, "no"),
    "key, invalid": (
        500, {}, "error from server Some(1008): Invalid or expired API key", errors.KeyRefused, 1008, "no",
    ),
    "no key": (500, {}, "error from server 1008: No authentication provided.", errors.KeyRefused, 1008, "no"),
    "credits": (500, {}, "error from server 1008: no credits left", errors.CreditsSpent, 1008, "no"),
    "format": (500, {}, f"error from server Some(1008): bad format{FOOTER}", errors.AudioRefused, 1008, "no"),
    "setup": (500, {}, "error from server 1008: bad setup", errors.SettingsRefused, 1008, "no"),
    "language as policy": (500, {}, f"error from server 1008: {LANGUAGE}", errors.SettingsRefused, 1008, "no"),
    "new, with a footer": (500, {}, f"error from server 1008: new{FOOTER}", errors.UnknownFault, 1008, "no"),
    "no reason": (500, {}, f"error from server 1008: {FOOTER}", errors.UnknownFault, 1008, "no"),
    "None": (500, {}, f"error from server None: {KEY_BAD}", errors.KeyRefused, None, "maybe"),
    "BOM": (500, {}, f"\ufeffError from server 1008: {KEY_BAD}", errors.KeyRefused, 1008, "no"),
    "internal": (500, {}, f"error from server Some(1011): internal{FOOTER}", errors.ServerFault, 1011, "maybe"),
    "internal, a key": (500, {}, "error from server 1011: invalid API key", errors.ServerFault, 1011, "maybe"),
    "language": (500, {}, f"error from server Some(1011): {LANGUAGE}", errors.SettingsInvalid, 1011, "maybe"),
    "delay": (
        500, {}, f"error from server 1011: delay_in_frames 4 is not supported{FOOTER}",
        errors.SettingsInvalid, 1011, "maybe",
    ),
    "setup first": (500, {}, "error from server 1002: input before setup", errors.ProtocolFault, 1002, "maybe"),
    "setup first, Some": (
        500, {}, f"error from server Some(1002): bad audio, no API key{FOOTER}", errors.ProtocolFault, 1002, "maybe",
    ),
    "other code": (500, {}, "error from server 4242: something new", errors.UnknownFault, 4242, "maybe"),
    "content type": (
        500, {}, f"unsupported content type for SST 'audio/mpeg'{FOOTER}", errors.AudioRefused, None, "no",
    ),
    # the concurrency limit, whatever is around it
    **{
        f"limit as {status}": (status, {}, LIMIT + FOOTER, errors.ConcurrencyLimit, None, billed)
        for status, billed in {
            400: "no", 401: "no", 403: "no", 422: "no", 429: "no", 500: "no", 503: "no",
            402: "maybe", 404: "maybe", 409: "maybe", 502: "maybe", 504: "maybe", 520: "maybe",
        }.items()
    },
    "limit, policy": (500, {}, f"error from server Some(1008): {LIMIT}", errors.ConcurrencyLimit, 1008, "no"),
    "limit, internal": (500, {}, f"error from server 1011: {LIMIT}", errors.ConcurrencyLimit, 1011, "maybe"),
    "limit, 1002": (500, {}, f"error from server 1002: {LIMIT}", errors.ConcurrencyLimit, 1002, "maybe"),
    "limit, JSON": (400, JSON, json.dumps({"detail": LIMIT}), errors.ConcurrencyLimit, None, "no"),
    "limit, JSON 401": (401, JSON, json.dumps({"error": {"message": LIMIT}}), errors.ConcurrencyLimit, None, "no"),
    "limit, a code in words": (
        400, JSON, json.dumps({"code": "concurrency_limit", "message": LIMIT}), errors.ConcurrencyLimit, None, "maybe",
    ),
    "limit and a key": (400, {}, f"{LIMIT} for this API key; no credits", errors.ConcurrencyLimit, None, "no"),
    # JSON
    "detail": (401, JSON, '{"detail": "Invalid API key"}', errors.KeyRefused, None, "no"),
    "detail, pretty": (400, JSON, '{\n  "detail": "Invalid API key"\n}\n', errors.KeyRefused, None, "maybe"),
    "detail, list": (
        422, JSON, json.dumps({"detail": [{"loc": ["query", "json_config"], "msg": "Invalid", "input": "API key"}]}),
        errors.SettingsRefused, None, "maybe",
    ),
    "detail, two": (
        422, JSON, json.dumps({"detail": [{"msg": "Field required"}, {"msg": "no credits left"}]}),
        errors.CreditsSpent, None, "maybe",
    ),
    "detail in the documented form": (
        500, JSON, json.dumps({"detail": f"error from server Some(1011): {LANGUAGE}{FOOTER}"}),
        errors.SettingsInvalid, 1011, "maybe",
    ),
    "error": (500, JSON, json.dumps({"error": KEY_BAD}), errors.KeyRefused, None, "maybe"),
    "error, object": (
        500, JSON, json.dumps({"error": {"code": 1008, "message": KEY_BAD}}), errors.KeyRefused, 1008, "no",
    ),
    "error, internal": (
        500, JSON, json.dumps({"error": {"code": "1011", "message": KEY_BAD}}), errors.ServerFault, 1011, "maybe",
    ),
    "message": (
        422, JSON, json.dumps({"message": "bad format", "statusCode": 422}), errors.AudioRefused, None, "maybe",
    ),
    "message and the status's name": (
        400, JSON, json.dumps({"code": 400, "error": "Bad Request", "message": KEY_BAD}),
        errors.KeyRefused, None, "maybe",
    ),
    "message, JSON again": (
        500, JSON, json.dumps({"message": json.dumps({"detail": "no credits left"})}),
        errors.CreditsSpent, None, "maybe",
    ),
    "message, no help": (
        400, JSON, json.dumps({"message": "something new", "help": "check the API key"}),
        errors.UnknownFault, None, "maybe",
    ),
    "JSON in the documented form": (
        500, {}, 'error from server 1008: {"error": "no credits left"}\nAPI key?', errors.CreditsSpent, 1008, "no",
    ),
    "JSON of a gateway": (503, JSON, '{"message":"Service Unavailable"}', errors.ServerFault, None, "maybe"),
    "JSON of a firewall": (403, JSON, '{"message":"Forbidden"}', errors.AccessDenied, None, "maybe"),
    "JSON, no page": (404, JSON, '{"detail":"Not Found"}', errors.SettingsRefused, None, "maybe"),
    "JSON with a page": (500, JSON, json.dumps({"error": CDN}), errors.UnknownFault, None, "maybe"),
    "JSON without text": (500, JSON, '{"status": 3}', errors.UnknownFault, None, "maybe"),
    "no JSON": (500, {}, '"a.wav": invalid audio file', errors.AudioRefused, None, "maybe"),
    "no JSON, a number": (500, {}, "[17] invalid API key", errors.KeyRefused, None, "maybe"),
    "JSON cut": (500, JSON, '{\n"detail": "no API k', errors.UnknownFault, None, "maybe"),
    # on the way
    **{
        f"page {status}{', wait' if headers else ''}": (
            status, HTML | headers, CDN.format(status), kind, None, "no" if status in (401, 429) else "maybe",
        )
        for headers in ({}, WAIT)
        for status, kind in {
            401: errors.AccessDenied, 403: errors.AccessDenied, 413: errors.AccessDenied, 429: errors.RateLimited,
            500: errors.UnknownFault, 502: errors.ServerFault, 503: errors.ServerFault, 504: errors.ServerFault,
        }.items()
    },
    "page, plain": (403, {}, f"\r\n {CDN}", errors.AccessDenied, None, "maybe"),
    "XML": (403, {}, "<?xml?>\n<Error><Code>InvalidAPIKey</Code></Error>", errors.AccessDenied, None, "maybe"),
    "plain 403": (403, {}, f"Forbidden{FOOTER}", errors.AccessDenied, None, "maybe"),
    "plain 429, wait": (429, WAIT, f"Too Many Requests{FOOTER}", errors.RateLimited, None, "no"),
    "plain 502": (502, {}, f"Bad Gateway{FOOTER}", errors.ServerFault, None, "maybe"),
    "plain 503, wait": (503, WAIT, f"Service Unavailable{FOOTER}", errors.ServerFault, None, "maybe"),
    "plain 504": (504, {}, f"upstream request timeout{FOOTER}", errors.ServerFault, None, "maybe"),
    # inside the stream
    "stream: limit": (200, {}, stream(LIMIT + FOOTER), errors.ConcurrencyLimit, None, "no"),
    "stream: limit, policy": (200, {}, stream(LIMIT, 1008), errors.ConcurrencyLimit, 1008, "no"),
    "stream: limit, form": (
        200, {}, stream(f"error from server Some(1008): {LIMIT}{FOOTER}"), errors.ConcurrencyLimit, 1008, "no",
    ),
    "stream: limit, JSON": (200, {}, stream(json.dumps({"error": LIMIT})), errors.ConcurrencyLimit, None, "no"),
    "stream: key": (200, {}, stream(KEY_BAD + FOOTER, 1008), errors.KeyRefused, 1008, "no"),
    "stream: key, object": (200, {}, stream({"detail": KEY_BAD}, 1008), errors.KeyRefused, 1008, "no"),
    "stream: key, JSON": (
        200, {}, stream(json.dumps({"code": 1008, "message": KEY_BAD})), errors.KeyRefused, 1008, "no",
    ),
    "stream: language": (200, {}, stream(LANGUAGE + FOOTER, 1011), errors.SettingsInvalid, 1011, "maybe"),
    "stream: internal": (200, {}, stream(f"Decoder crashed{FOOTER}", 1011), errors.ServerFault, 1011, "maybe"),
    "stream: setup first": (200, {}, stream("input before setup", 1002), errors.ProtocolFault, 1002, "maybe"),
    "stream: new": (200, {}, stream(f"something new{FOOTER}"), errors.StreamError, None, "maybe"),
    "stream: page": (200, {}, stream(CDN), errors.StreamError, None, "maybe"),
    "stream: null": (200, {}, stream(None), errors.StreamError, None, "maybe"),
}  # fmt: skip


def of_row(row: Row) -> errors.AttemptError:
    status, headers, body, *_ = row
    if status != 200:
        return classify.refused(status, headers, body)
    line = msgspec.json.decode(body)
    return classify.in_stream(line["message"], line.get("code"), is_first=True)


def outcome(error: errors.AttemptError) -> tuple[type[errors.AttemptError], int | None, str]:
    return type(error), error.code, billing.billed(error, bytes_sent=1)


@pytest.mark.parametrize("name", TABLE)
def test_a_refusal_becomes_its_class_with_its_code_and_its_cost(name: str) -> None:
    *_, kind, code, billed = TABLE[name]
    error = of_row(TABLE[name])
    assert outcome(error) == (kind, code, billed)
    assert error.retry_after_s == (7 if "wait" in name else None)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Request:
    return clip_of(tmp_path_factory.mktemp("clips") / "one.wav", b"a" * 3000, duration_s=1.0)


@pytest.mark.parametrize("name", TABLE)
def test_so_it_does_in_a_real_exchange(name: str, clip: Request) -> None:
    status, headers, body, kind, code, billed = TABLE[name]
    with Scripted(answer(body.encode(), status=status, headers=headers)) as peer:
        error = failure(peer.url, clip)
    assert (type(error), error.code, error.billed, error.http_status) == (kind, code, billed, status)
    assert error.message == str(error)


# -- footers ----------------------------------------------------------------------------------------------------------

TEXTS = {name: row for name, row in TABLE.items() if not row[2].lstrip("\r\n ").startswith(("<", "{"))}
STREAMS = {name: row for name, row in TABLE.items() if row[0] == 200 and isinstance(json.loads(row[2])["message"], str)}
TRAPS = (
    "your API key", "<html>", "<!DOCTYPE html>", LIMIT, f"error from server 1008: {KEY_BAD}", LANGUAGE, "no credits",
    "error from server 1011: internal", '{"detail": "bad format", "code": 1002}', "bad audio file",
    "worker crashed", "}",
)  # fmt: skip
footers = st.lists(st.sampled_from(TRAPS) | st.text(max_size=30), max_size=4).map("\n".join)
newlines = st.sampled_from(["\n", "\r\n", "\n\n", "\r"])


@given(name=st.sampled_from(sorted(TEXTS)), newline=newlines, footer=footers)
def test_no_footer_changes_what_a_refusal_is(name: str, newline: str, footer: str) -> None:
    status, headers, body, *expected = TEXTS[name]
    said = f"{body}{newline}{footer}"
    error = classify.refused(status, headers, said)
    assert outcome(error) == tuple(expected)
    assert error.message == said.strip()
    plain = classify.refused(status, headers, body)
    assert same_words(error.said) == same_words(plain.said) or not plain.reason


@given(name=st.sampled_from(sorted(STREAMS)), newline=newlines, footer=footers)
def test_nor_does_it_inside_the_stream(name: str, newline: str, footer: str) -> None:
    *_, body, kind, code, billed = STREAMS[name]
    line = json.loads(body)
    error = classify.in_stream(f"{line['message']}{newline}{footer}", line.get("code"), is_first=True)
    assert outcome(error) == (kind, code, billed)


@given(
    name=st.sampled_from([name for name, row in TABLE.items() if row[1] is JSON and "cut" not in name]), footer=footers
)
def test_nor_does_it_after_json(name: str, footer: str) -> None:
    body = TABLE[name][2]
    assert read(f"{body}\n{footer}") == read(body)


# -- forms ------------------------------------------------------------------------------------------------------------

REASONS = (
    LIMIT, KEY_BAD, LANGUAGE, "no credits left", "bad format", "bad setup", "something new", "input before setup",
    "no model of this name: foo", "delay_in_frames 4 is not supported", "audio too long", "rate limit reached",
    "language model worker out of memory", "could not read input file", "<b>API key</b>", 'unknown language "xx"',
)  # fmt: skip
CODED = {
    "Some": lambda code, said: f"error from server Some({code}): {said}",
    "Some, footer": lambda code, said: f"error from server Some({code}): {said}{FOOTER}",
    "detail": lambda code, said: json.dumps({"detail": f"error from server {code}: {said}"}),
    "detail, list": lambda code, said: json.dumps({"detail": [{"msg": f"error from server Some({code}): {said}"}]}),
    "error": lambda code, said: json.dumps({"error": said, "code": code}, indent=2),
    "error, object": lambda code, said: json.dumps({"error": {"message": said, "code": str(code)}}),
    "message": lambda code, said: json.dumps({"code": code, "message": said + FOOTER}, ensure_ascii=False),
    "nested": lambda code, said: json.dumps({"detail": {"error": json.dumps({"code": code, "message": said})}}),
    "text": lambda code, said: json.dumps(f"error from server {code}: {said}"),
}
UNCODED = {
    "detail": lambda said: json.dumps({"detail": said}),
    "detail, list": lambda said: json.dumps({"detail": [{"msg": said, "type": "value_error"}]}, indent=1),
    "error": lambda said: json.dumps({"error": said + FOOTER}),
    "error, object": lambda said: json.dumps({"error": {"message": said, "code": 500}}),
    "message": lambda said: json.dumps({"message": said}),
    "nested": lambda said: json.dumps({"message": json.dumps({"detail": [said]})}),
}
reasons = st.sampled_from(REASONS) | st.text(max_size=60).filter(lambda said: said and said == read(said).text)


@given(reason=reasons, code=st.sampled_from([1002, 1008, 1011, 4000]), form=st.sampled_from(sorted(CODED)))
@example(reason="0", code=1008, form="detail")
def test_every_form_with_a_code_is_the_documented_one(reason: str, code: int, form: str) -> None:
    documented, said = f"error from server {code}: {reason}", CODED[form](code, reason)
    for status in (400, 401, 404, 429, 500, 503):
        assert outcome(classify.refused(status, {}, said)) == outcome(classify.refused(status, {}, documented))
    assert outcome(classify.in_stream(said, None, is_first=True)) == outcome(
        classify.in_stream(documented, None, is_first=True)
    )


@given(reason=reasons, form=st.sampled_from(sorted(UNCODED)))
def test_every_form_without_a_code_is_plain_text(reason: str, form: str) -> None:
    said = UNCODED[form](reason)
    for status in (400, 422, 429, 500):
        assert outcome(classify.refused(status, {}, said)) == outcome(classify.refused(status, {}, reason))
    if form != "error, object":
        plain, wrapped = (classify.in_stream(text, None, is_first=True) for text in (reason, said))
        assert outcome(plain) == outcome(wrapped)


@settings(max_examples=40)
@given(st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["message", "detail", "error", "code", "loc", "x"]), inner),
))  # fmt: skip
def test_no_json_is_odd_enough_to_break_anything(value: Any) -> None:
    said = json.dumps(value)
    assert isinstance(classify.refused(500, {}, said), errors.AttemptError)
    assert isinstance(classify.in_stream(said, "", is_first=True), errors.AttemptError)


@pytest.mark.parametrize("depth", [3, 200, 2_000, 30_000])
@pytest.mark.parametrize("shell", [('{"detail":', "}"), ("[", "]"), ('{"error":[', "]}")])
def test_however_deep_json_is_it_is_read_as_far_as_it_makes_sense(depth: int, shell: tuple[str, str]) -> None:
    said = shell[0] * depth + '"API key"' + shell[1] * depth
    error = classify.refused(500, {}, said)
    assert (type(error) is errors.KeyRefused) or depth > 3


# -- a setting's fault, or not ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", A_SETTING)
def test_a_1011_that_blames_a_setting_is_its_fault(reason: str) -> None:
    for said in (reason, reason.upper(), f"Internal error: {reason}"):
        assert type(classify.in_stream(said + FOOTER, 1011, is_first=True)) is errors.SettingsInvalid
    assert type(classify.refused(500, {}, f"error from server 1008: {reason}")) is errors.SettingsRefused


@pytest.mark.parametrize("reason", NO_SETTING)
def test_any_other_1011_passes_whatever_it_blames(reason: str) -> None:
    for said in (reason, f"Internal error: {reason}", f"{reason}\n{LANGUAGE}"):
        assert type(classify.refused(500, {}, f"error from server 1011: {said}")) is errors.ServerFault
    assert not blames_setting(reason.upper())


# -- the row's own keywords -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("keywords", "said", "kind"), [
    (("one",), "error from server 1011: keywords must be single tokens", errors.KeywordsRefused),
    (("one",), "error from server Some(1008): invalid json_config: too many keywords", errors.KeywordsRefused),
    (("one",), "error from server 1011: boost must be between -6 and 6", errors.KeywordsRefused),
    ((), "error from server 1011: keywords must be single tokens", errors.SettingsInvalid),
    (("one",), f"error from server 1011: {LANGUAGE}\nkeywords", errors.SettingsInvalid),
    (("one",), "error from server 1011: keywords cache is corrupt", errors.ServerFault),
])  # fmt: skip
def test_a_rows_own_keywords_are_its_own_fault(
    clip: Request, keywords: tuple[str, ...], said: str, kind: type[errors.AttemptError]
) -> None:
    with Scripted(answer(said.encode(), status=500)) as peer:
        error = failure(peer.url, msgspec.structs.replace(clip, keywords=keywords))
    assert type(error) is kind
    assert (error.message, error.http_status, error.bytes_sent) == (said, 500, clip.body_bytes)


def test_refusals_as_json_are_alike_by_their_words() -> None:
    said = [
        classify.refused(500, {}, json.dumps({"detail": text, "trace": text})).said
        for text in ("bad format of a.1", "bad format of b.22", "the audio is too long")
    ]
    assert same_words(said[0]) == same_words(said[1]) != same_words(said[2])


def test_an_error_without_words_says_so() -> None:
    for nothing in ("", None):
        assert classify.in_stream(nothing, None, is_first=True).message == "an error without a message"


def test_no_secret_is_in_the_reason(clip: Request) -> None:
    with Scripted(answer(f'{{"detail": "API key {KEY} is unknown"}}'.encode(), status=401)) as peer:
        error = failure(peer.url, clip)
    assert error.reason == "API key [API key] is unknown"

"""What is shown and kept of a text from outside: no secret in any form, no control character, bounded."""

from __future__ import annotations

import base64
import json
import random
import time

import pytest

from pipeline.queries import without_signatures
from pipeline.redaction import LONG_PART, MARK
from pipeline.texts import json_line, presentable, visible
from tests.leaks import KEY, MASKS, leaks_in


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("around", ["{}", "the key {} is unknown", 'x="{}",', "~{}~"])
def test_a_key_is_not_shown_in_any_form(mask: str, around: str) -> None:
    text = around.format(MASKS[mask](KEY))
    said = presentable(text, KEY)
    assert leaks_in(text)
    assert not leaks_in(said)
    assert len(said) <= len(around) + len(MARK) + 6  # the ends of base64 hold bits of something else


@pytest.mark.parametrize(
    "lines", [KEY[:7] + "\r\n" + KEY[7:20] + "\0" + KEY[20:], base64.encodebytes(bytes(50) + KEY.encode()).decode()]
)
def test_a_key_that_is_broken_into_lines_is_not_shown(lines: str) -> None:
    assert leaks_in(lines)
    assert not leaks_in(presentable(lines, KEY))


@pytest.mark.parametrize("mask", ["plain", "json", "percent", "hex", "base64"])
def test_a_text_that_came_cut_shows_no_end_of_a_key(mask: str) -> None:
    masked = MASKS[mask](KEY)
    per_char = len(masked) / len(KEY)
    for cut in range(1, len(masked)):
        for said, left in ((f"no: {masked[:cut]}", cut), (masked[cut:] + " is no", len(masked) - cut)):
            if left / per_char >= 8 + 1:
                assert MARK in presentable(said, KEY), said


def test_an_end_of_a_key_that_another_cut_off_is_not_shown() -> None:
    assert presentable(f"line too long: b'{KEY[:9]}...' of 9000", KEY) == f"line too long: b'{MARK}...' of 9000"
    assert presentable(f"the key ending in …{KEY[-8:]} is revoked", KEY) == f"the key ending in …{MARK} is revoked"


def test_a_long_part_of_a_key_is_not_shown_wherever_it_stands() -> None:
    for start in range(len(KEY) - LONG_PART):
        assert presentable(f"~{KEY[start : start + LONG_PART]}~", KEY) == f"~{MARK}~"


def test_what_only_looks_a_little_like_a_key_stays() -> None:
    for text in (KEY[:7], f"~{KEY[4:15]}~", "a description", '%41\\u0042 \\\\ " &#65; \u0130stanbul', "a" * 5000):
        assert presentable(text, KEY, "gd_transcription", limit=10_000) == text


@pytest.mark.parametrize("cut", range(50))
def test_a_key_where_the_text_is_cut_leaves_no_part(cut: int) -> None:
    said = presentable("x" * (200 - cut) + KEY, KEY, limit=200)
    assert set(said) - set("x") <= set(MARK)
    assert len(said) <= 200


def test_every_key_is_taken_out_and_the_rest_stays_in_its_place() -> None:
    other = "gsk_another-Key/with+signs\"and'quotes"
    escaped = json.dumps(other)[1:-1]
    said = presentable(f"a {KEY} b {other} c {escaped} d {MASKS['json'](KEY)}{KEY} e", KEY, other)
    assert said == f"a {MARK} b {MARK} c {MARK} d {MARK} e"


def test_a_short_key_takes_no_letters_out_of_words() -> None:
    assert presentable("any key is any.", "any") == f"{MARK} key is {MARK}."
    assert presentable("many a company", "any") == "many a company"


def test_text_at_random_is_redacted_wherever_its_key_stands() -> None:
    dice = random.Random(13)
    alphabet = KEY + '\\u%&#x0123456789abcdef;"\n \u0130é\udc80'
    for _ in range(2000):
        before, after = ("".join(dice.choices(alphabet, k=dice.randrange(40))) for _ in range(2))
        text = before + MASKS[dice.choice(list(MASKS))](KEY) + after
        assert not leaks_in(presentable(text, KEY)), text


@pytest.mark.parametrize("piece", ["word ", KEY, "%67", "\\", "\\u0067\\u0064", KEY[:6], "\n", "&#0", "\u0130"])
def test_a_text_of_10_mb_costs_little(piece: str) -> None:
    text = piece * (10_000_000 // len(piece))
    started = time.process_time()
    assert len(presentable(text, KEY)) <= 2000
    assert time.process_time() - started < 0.5


HOSTILE = "a\x1b[2J\x07b\r\ndone=9 exit=0\x9b31m\x7f \u202eevil\u2066 \u2028x\u2029 \udce9 é 日本\u3000\u200d"


def test_what_moves_a_cursor_is_written_out() -> None:
    assert visible(HOSTILE) == (
        r"a\x1b[2J\x07b\r\ndone=9 exit=0\x9b31m\x7f \u202eevil\u2066 \u2028x\u2029 \xe9 é 日本" + "\u3000\\u200d"
    )


def test_json_for_machines_reads_as_the_same_text_and_moves_no_cursor() -> None:
    line = json_line({"message": HOSTILE, "more": [HOSTILE, 1, None]})
    text = HOSTILE.replace("\udce9", "\ufffd")
    assert json.loads(line) == {"message": text, "more": [text, 1, None]}
    assert not set(line) & set("\x07\r\n\x1b\x7f\x9b\u2028\u2029\u202e\u2066")


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("GET https://h/a?x=1&sig=ab%2Fc&y=2 failed", "GET https://h/a?x=1&sig=***&y=2 failed"),
        ('{"url":"https://h/a?X-Amz-Signature=9f\\u0026x=1"}', '{"url":"https://h/a?X-Amz-Signature=***\\u0026x=1"}'),
        ("<a href='/a?x=1&amp;token=t0p'>", "<a href='/a?x=1&amp;token=***'>"),
        ("https://h/get?url=https%3A%2F%2Fb%2Fa%3Fx-goog-signature%3Dff00", "https://h/get?url=https%3A%2F%2Fb%2Fa%3Fx-goog-signature%3D***"),
        ("https://me:pa55@h/a and s3://k:v@b/c@d", "https://***@h/a and s3://***@b/c@d"),
        ("is the sig=5 or the token=7? auth=no", "is the sig=5 or the token=7? auth=no"),
        ("which one?token=5", "which one?token=5"),
        ("https://h/a?design=1&key=2&x=sig=3", "https://h/a?design=1&key=2&x=sig=3"),
    ],
)  # fmt: skip
def test_signatures_and_passwords_of_urls_are_not_shown(text: str, clean: str) -> None:
    assert presentable(text) == visible(text) == presentable(clean) == clean


@pytest.mark.parametrize("piece", ["?sig=", "&token", "://", "a?b=/", "%3Fsig%3D", "https://h/?sig=a&"])
def test_looking_for_signatures_takes_linear_time(piece: str) -> None:
    def seconds(count: int) -> float:
        began = time.process_time()
        without_signatures(piece * count)
        return time.process_time() - began

    seconds(1_000)
    assert seconds(20_000) < max(0.02, 8 * 3 * seconds(2_500))

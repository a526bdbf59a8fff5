"""The fingerprint: what it promises to tests that compare with it."""

from __future__ import annotations

from array import array

import numpy as np

from pipeline.server.fingerprint import fingerprint_words
from tests.server.bodies import noise


def test_each_second_is_a_word_with_its_times() -> None:
    words = fingerprint_words(noise("a", 2.25, 8000), 8000)
    assert [(start, stop) for _, start, stop in words] == [(0.0, 1.0), (1.0, 2.0), (2.0, 2.25)]


def test_one_changed_sample_changes_its_second_and_no_other() -> None:
    samples = array("h", noise("a", 3, 8000))
    before = fingerprint_words(samples, 8000)
    samples[12_000] ^= 1
    after = fingerprint_words(samples, 8000)
    assert [one != other for one, other in zip(before, after, strict=True)] == [False, True, False]


def test_silent_seconds_have_no_word() -> None:
    samples = bytes(16_000) + noise("a", 1, 8000) + bytes(8_000)
    assert [start for _, start, _ in fingerprint_words(samples, 8000)] == [1.0]


def test_bytes_and_arrays_give_the_same_words() -> None:
    samples = noise("a", 1.5, 8000)
    assert fingerprint_words(samples, 8000) == fingerprint_words(np.frombuffer(samples, dtype="<i2").data, 8000)


def test_no_samples_have_no_words() -> None:
    assert fingerprint_words(b"", 8000) == []


def test_long_audio_has_characters_of_more_than_one_byte() -> None:
    text = "".join(text for text, _, _ in fingerprint_words(noise("a", 60, 100), 100))
    assert not text.isascii()

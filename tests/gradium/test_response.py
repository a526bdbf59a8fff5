"""Compressed answers, however their bytes are cut: what was compressed, in pieces that are bounded, or zlib's error."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.gradium.response import PIECE_BYTES, Inflater, coding_of
from tests.gradium.hostile import WINDOW_BITS


def packed(data: bytes, form: str) -> bytes:
    packer = zlib.compressobj(wbits=WINDOW_BITS[form])
    return packer.compress(data) + packer.flush()


def fed(inflater: Inflater, chunks: list[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        yield from inflater.feed(chunk)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """Pieces of these sizes, over and over."""
    chunks: list[bytes] = []
    while data:
        size = sizes[len(chunks) % len(sizes)]
        chunks.append(data[:size])
        data = data[size:]
    return chunks


def inflater(form: str) -> Inflater:
    return Inflater(form.removeprefix("raw "))


@given(
    data=st.binary(max_size=300).map(lambda data: data * 50) | st.integers(0, 300_000).map(bytes),
    form=st.sampled_from(["gzip", "x-gzip", "deflate", "raw deflate"]),
    sizes=st.lists(st.integers(1, 40_000), min_size=1, max_size=4),
)
def test_what_comes_out_is_what_went_in_however_it_is_cut(data: bytes, form: str, sizes: list[int]) -> None:
    reading = inflater(form)
    pieces = list(fed(reading, cut(packed(data, form), sizes)))
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) <= PIECE_BYTES
    assert reading.is_whole


@pytest.mark.parametrize("form", ["gzip", "deflate", "raw deflate"])
@pytest.mark.parametrize("data", [b"", b"one", random.Random(1).randbytes(70_000)])
def test_a_stream_is_whole_at_its_last_byte_and_not_before(form: str, data: bytes) -> None:
    whole = packed(data, form)
    for end in {*range(1, min(len(whole), 40)), *range(max(1, len(whole) - 40), len(whole))}:
        reading = inflater(form)
        assert data.startswith(b"".join(fed(reading, [whole[:end]])))
        assert not reading.is_whole, end


def test_an_answer_without_a_byte_is_no_broken_stream() -> None:
    for form in ("gzip", "deflate"):
        assert inflater(form).is_whole


@pytest.mark.parametrize("sizes", [[1], [7], [1 << 20]])
def test_streams_of_gzip_behind_each_other_are_one_text(sizes: list[int]) -> None:
    reading = inflater("gzip")
    whole = gzip.compress(b"one ") + gzip.compress(b"") + gzip.compress(b"two")
    assert b"".join(fed(reading, cut(whole, sizes))) == b"one two"
    assert reading.is_whole


@pytest.mark.parametrize("form", ["gzip", "deflate", "raw deflate"])
def test_what_follows_the_end_is_no_part_of_a_text(form: str) -> None:
    reading = inflater(form)
    said = b""
    with pytest.raises(zlib.error):  # noqa: PT012  what came before it is given out
        for piece in reading.feed(packed(b"one", form) + b"and more"):
            said += piece
    assert said == b"one"


def test_a_byte_of_the_stream_costs_no_more_than_a_piece() -> None:
    reading = inflater("gzip")
    bomb = gzip.compress(bytes(50 << 20))
    assert max(len(piece) for piece in fed(reading, cut(bomb, [16_384]))) == PIECE_BYTES


@pytest.mark.parametrize(
    ("headers", "coding"),
    [
        ({}, ""),
        ({"content-encoding": ""}, ""),
        ({"content-encoding": "Identity"}, ""),
        ({"content-encoding": " identity , IDENTITY,"}, ""),
        ({"transfer-encoding": "chunked"}, ""),
        ({"transfer-encoding": "Chunked", "content-encoding": "identity"}, ""),
        ({"content-encoding": "GZip"}, "gzip"),
        ({"content-encoding": "identity, x-gzip"}, "x-gzip"),
        ({"content-encoding": "gzip, deflate"}, "gzip, deflate"),
        ({"transfer-encoding": "gzip, chunked"}, "gzip"),
        ({"content-encoding": "br", "transfer-encoding": "chunked"}, "br"),
    ],
)
def test_a_coding_has_one_name_and_no_coding_has_none(headers: dict[str, str], coding: str) -> None:
    assert coding_of(httpx.Headers(headers)) == coding


def test_codings_in_two_headers_are_several() -> None:
    assert coding_of(httpx.Headers([("content-encoding", "gzip"), ("content-encoding", "br")])) == "gzip, br"

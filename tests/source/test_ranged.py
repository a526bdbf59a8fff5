"""A file that lies elsewhere is read as a local one is, and never more of it than was allowed."""

from __future__ import annotations

import io
import os
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import AudioUnreadable, SourceChanged, SourceFault
from pipeline.source import FileInfo
from pipeline.source.ranged import BeyondLimit, RangedFile
from tests.source.bucket import Bucket

AT = "s3://b/a"
CALLS = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(-1, 50)),
        st.tuples(st.just("readinto"), st.integers(0, 50)),
        st.tuples(st.just("set"), st.integers(0, 120)),
        st.tuples(st.just("step"), st.integers(-60, 60)),
        st.tuples(st.just("end"), st.integers(-120, 20)),
    ),
    max_size=12,
)
WHENCE = {"set": os.SEEK_SET, "step": os.SEEK_CUR, "end": os.SEEK_END}


def ranged(bucket: Bucket, block_bytes: int = 10, **how: int) -> RangedFile:
    return RangedFile(bucket.sources(), AT, bucket.info(AT), block_bytes, **how)


def call(file: io.RawIOBase, kind: str, count: int) -> object:
    if kind == "read":
        return file.read(count), file.tell()
    if kind == "readinto":
        buffer = bytearray(count)
        return file.readinto(buffer), bytes(buffer), file.tell()
    try:
        return file.seek(count, WHENCE[kind])
    except (OSError, ValueError):
        return "refused"


@settings(max_examples=40)
@given(st.integers(0, 100), st.integers(1, 40), st.integers(1, 20), CALLS)
def test_it_reads_as_a_local_file_does(size: int, block: int, kept: int, calls: list[tuple[str, int]]) -> None:
    data = os.urandom(size)
    file = ranged(Bucket({AT: data}), block, blocks_kept=kept)
    with tempfile.TemporaryFile("w+b", buffering=0) as local:
        local.write(data)
        local.seek(0)
        for kind, count in calls:
            assert call(file, kind, count) == call(local, kind, count), (kind, count)


@settings(max_examples=40)
@given(st.integers(1, 30), st.integers(0, 100), CALLS)
def test_no_byte_is_asked_for_twice_and_none_beyond_the_limit(
    block: int, most: int, calls: list[tuple[str, int]]
) -> None:
    bucket = Bucket({AT: os.urandom(100)})
    file = ranged(bucket, block, blocks_kept=1_000, max_bytes=most)
    try:
        for kind, count in calls:
            call(file, kind, count)
    except BeyondLimit:
        pass
    assert bucket.bytes[AT] <= most


def test_a_large_read_is_one_request_and_the_end_is_not_read_beyond() -> None:
    bucket = Bucket({AT: os.urandom(1_000)})
    file = ranged(bucket)
    assert file.read(500) == bucket.objects[AT][:500]
    file.seek(-5, os.SEEK_END)
    assert file.read(100) == bucket.objects[AT][-5:]
    assert (bucket.gets[AT], bucket.bytes[AT]) == (2, 505)


def test_one_that_was_replaced_is_not_mixed_with_what_was_read() -> None:
    bucket = Bucket({AT: bytes(100)})
    file = ranged(bucket)
    file.read(10)
    bucket.objects[AT] = b"\1" * 100
    with pytest.raises(SourceChanged):
        file.read(10)
    assert bucket.gets[AT] == 1  # asking again would not help


def test_an_answer_of_another_length_is_a_fault() -> None:
    bucket = Bucket({AT: bytes(100)})
    info = bucket.info(AT)._replace(size_bytes=200)
    file = RangedFile(bucket.sources(), AT, info, 150)
    with pytest.raises(SourceFault, match="100 bytes"):
        file.read(1)


def test_parts_of_a_file_of_unknown_size_cannot_be_read() -> None:
    with pytest.raises(AudioUnreadable, match="does not tell its size"):
        RangedFile(Bucket().sources(), AT, FileInfo("v", None, 0.0), 10)

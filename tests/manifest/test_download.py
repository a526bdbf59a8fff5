"""Manifests that lie elsewhere, and packed ones."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import AttemptError, AudioForbidden, AudioMissing, ManifestError, SourceTimeout, SourceUnreachable
from pipeline.manifest import download, inputs_of
from pipeline.model import BadRow, NamedByPath, Utterance
from pipeline.source import Sources
from tests.manifest.reading import good, read_manifest
from tests.manifest.stored import Stored

TABLE = b"audio,reference\ncalls/a.wav,hello\nhttps://h/b.wav?token=1,you\n"
LINES = b'{"audio": "calls/a.wav", "reference": "hello"}\n{"audio": "https://h/b.wav?token=1", "reference": "you"}\n'


def read(argument: str, sources: Sources) -> list[Utterance | BadRow]:
    return [row for part in inputs_of([argument], sources) for row in part]


@pytest.mark.parametrize("suffix", [".csv", ".CSV", ".csv.gz", ".jsonl", ".jsonl.gz", ".ndjson.gz", ".json.gz"])
@pytest.mark.parametrize("place", ["s3://b/lists", "https://h/lists", ""])
def test_manifests_here_and_elsewhere_packed_or_not(tmp_path: Path, place: str, suffix: str) -> None:
    data = TABLE if "csv" in suffix.lower() else LINES
    packed = gzip.compress(data[:30]) + gzip.compress(data[30:]) if suffix.endswith(".gz") else data
    path = f"{place or tmp_path}/m{suffix}"
    if not place:
        Path(path).write_bytes(packed)
    stored = Stored({path: packed})
    sources = stored.sources()
    rows = good(read(path + ("?X-Amz-Signature=1" if place.startswith("https") else ""), sources))
    assert [(row.id, row.audio, row.reference) for row in rows] == [
        ("calls/a.wav", f"{place or tmp_path}/calls/a.wav", "hello"),
        ("https://h/b.wav", "https://h/b.wav", "you"),
    ]
    assert sources.signatures.signed("https://h/b.wav") == "https://h/b.wav?token=1"
    assert stored.asked["get"] == bool(place)


def test_nothing_is_asked_for_before_rows_are_read() -> None:
    stored = Stored({})
    (part,) = inputs_of(["https://h/m.csv?sig=1"], stored.sources())
    assert (part.path, part.source) == ("https://h/m.csv", "https://h/m.csv")
    assert stored.asked == {"stat": 0, "list": 0, "get": 0}


@pytest.mark.parametrize(
    "error",
    [
        AudioMissing("there is no such object"),
        AudioForbidden("the store refuses it (403)"),
        SourceUnreachable("connection refused"),
        SourceTimeout("no answer within 60 s"),
    ],
)
@pytest.mark.parametrize("argument", ["s3://b/m.csv", "https://h/m.jsonl.gz?sig=c0ffee"])
def test_a_manifest_that_cannot_be_read_is_one_sentence(argument: str, error: AttemptError) -> None:
    with pytest.raises(ManifestError) as caught:
        read(argument, Stored({}, error).sources())
    said = str(caught.value)
    assert said.startswith(f"{argument.partition('?')[0]}: the manifest cannot be read: ")
    assert str(error) in said
    assert "\n" not in said


def test_a_manifest_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "MAX_BYTES", 10)
    with pytest.raises(ManifestError, match="takes more than 0 GiB; divide it"):
        read("s3://b/m.csv", Stored({"s3://b/m.csv": TABLE}).sources())


PACKED = gzip.compress(b"audio,reference\n" + b"".join(b"a%d.wav,%d\n" % (n, n * n) for n in range(500)))


@given(st.data())
def test_a_damaged_gzip_file_is_never_read_in_part(data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(PACKED) - 1))
    harmed = PACKED[:cut]
    if cut and data.draw(st.booleans()):
        at = data.draw(st.integers(0, cut - 1))
        harmed = PACKED[:at] + bytes([PACKED[at] ^ data.draw(st.integers(1, 255))]) + PACKED[at + 1 :]
    try:
        count, said = len(read("s3://b/m.csv.gz", Stored({"s3://b/m.csv.gz": harmed}).sources())), ""
    except ManifestError as error:
        count, said = 0, str(error)
    # of its header a time or a name may have changed
    assert count == 500 or (said.startswith("s3://b/m.csv.gz:") and "\n" not in said)


def test_what_is_no_gzip_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "m.csv.gz").write_bytes(TABLE)
    with pytest.raises(ManifestError, match=r"m\.csv\.gz: no whole gzip file: Not a gzipped file"):
        [*read_manifest(str(tmp_path / "m.csv.gz"))]
    (tmp_path / "m.csv.gz").write_bytes(PACKED[:-20])
    with pytest.raises(ManifestError, match=r"no whole gzip file: .*ended before .*: copy it again"):
        [*read_manifest(str(tmp_path / "m.csv.gz"))]


@pytest.mark.slow
def test_a_bomb_is_unpacked_piece_by_piece(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "m.csv.gz", "wb", compresslevel=1) as plain:
        plain.write(b"audio\na.wav\n")
        for _ in range(256):
            plain.write(bytes(1 << 20))
        plain.write(b"\nb.wav\n")
    tracemalloc.start()
    try:
        rows = [*read_manifest(str(tmp_path / "m.csv.gz"))]
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
    assert [type(row) for row in rows] == [NamedByPath, BadRow, NamedByPath]

"""Manifests and rows at addresses: which is which, without reading a recording."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from pipeline.checkpoint import UNREADABLE, Checkpoint, Finished, ScannedRow
from pipeline.errors import AudioForbidden, ManifestError
from pipeline.model import Utterance
from pipeline.run.manifests import copies, is_there, may_be, name_of, settle_names
from pipeline.run.problems import Spellings, Warnings
from tests.records import transcript
from tests.source.bucket import Bucket

AT = "s3://b/corpus/rows.csv"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Iterator[Checkpoint]:
    with Checkpoint(tmp_path / "checkpoint.sqlite") as opened:
        yield opened


def test_an_address_is_its_own_name_and_counts_as_there(checkpoint: Checkpoint, tmp_path: Path) -> None:
    for address in (AT, "s3://b/corpus//rows.csv", "s3://b/corpus/", "https://h/a/../rows.csv?v=1"):
        assert name_of(address) == address
        assert is_there(address)
    assert may_be(AT, AT, ())
    assert not may_be(AT, "s3://b/other.csv", ())
    assert may_be(str(tmp_path / "gone.csv"), AT, ())  # it may have been uploaded
    assert copies(checkpoint, AT, tmp_path) == []


def row(id_: str, audio: str, version: str | None = "e1", size: int | None = 7, **more: float) -> ScannedRow:
    utterance = Utterance(id=id_, audio=audio, **more)  # type: ignore[arg-type]
    return ScannedRow(utterance=utterance, config_hash="c1", expected_s=1.0, version=version, size=size)


def done(checkpoint: Checkpoint, manifest: str, *rows: ScannedRow) -> None:
    """A run transcribes the rows of a manifest."""
    checkpoint.scan(rows, manifest)
    checkpoint.merge(())
    for n, one in enumerate(rows, 1):
        found = transcript(one.utterance.id, audio_hash=f"hash of {one.version}")
        checkpoint.apply([Finished(n=n, transcript=msgspec.structs.replace(found, audio=one.utterance.audio))])


def settle(checkpoint: Checkpoint, manifest: str, *rows: ScannedRow) -> list[str]:
    checkpoint.scan(rows, manifest)
    return settle_names(checkpoint, [manifest], Path("/out"))


S3 = "s3://b/a.wav"


@pytest.mark.parametrize(
    ("before", "now", "is_moved"),
    [
        ((S3,), (S3,), True),
        ((S3,), (S3, UNREADABLE), True),  # nothing speaks against it
        ((S3, UNREADABLE), (S3, "e2"), True),
        ((S3, None, None), (S3,), True),  # as after a rebuild
        ((S3,), (S3, "e2"), False),
        ((S3,), ("s3://b/new/a.wav",), True),  # moved with its version, which is a hash of the content there
        (("https://h/a.wav",), ("https://h/a.wav",), True),
        (("https://h/a.wav", "7:1", None), ("https://h/a.wav", "7:1", None), True),
        (("/data/a.parquet#row=1", "7:1"), ("/data/a.parquet#row=1", "7:1"), True),
    ],
)
def test_a_manifest_that_moved_is_known_by_the_addresses_of_its_rows(
    checkpoint: Checkpoint, before: tuple[str, ...], now: tuple[str, ...], is_moved: bool
) -> None:
    done(checkpoint, "/gone/rows.csv", row("a", *before))
    assert settle(checkpoint, "/new/list.csv", row("a", *now)) == ["/gone/rows.csv"] * is_moved


@pytest.mark.parametrize(
    ("now", "span"),
    [
        ("s3://b/other.wav", {"version": "e2"}),
        ("https://h/a.wav", {}),  # versions of web servers are no hashes of content
        (S3, {"offset_s": 1.0}),
    ],
)
def test_an_id_with_another_recording_in_two_manifests_is_refused(
    checkpoint: Checkpoint, now: str, span: dict[str, object]
) -> None:
    done(checkpoint, AT, row("a", S3))
    with pytest.raises(ManifestError, match=r"id 'a' is .* here, and s3://b/a\.wav in s3://b/corpus/rows\.csv"):
        settle(checkpoint, "s3://b/second.csv", row("a", now, **span))  # type: ignore[arg-type]


@pytest.mark.parametrize("now", [S3, "s3://b/copy.wav"])
def test_one_recording_may_be_in_two_manifests(checkpoint: Checkpoint, now: str) -> None:
    done(checkpoint, AT, row("a", S3))
    assert settle(checkpoint, "s3://b/second.csv", row("a", now)) == []


def test_the_spelling_of_a_missing_address_is_not_looked_for_on_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.run.problems.other_spelling", None)
    spellings = Spellings(Warnings(), lambda id_: None)
    assert spellings.of(Utterance(id="a", audio="s3://b/grüße .wav")) is None


def test_only_what_its_source_says_is_not_there_is_missing() -> None:
    bucket = Bucket({"s3://b/a.wav": b"x", "s3://b/no.wav": b"x"})
    bucket.errors["s3://b/no.wav"] = AudioForbidden("no")
    sources = bucket.sources()
    found = [sources.is_missing(f"s3://b/{name}.wav") for name in ("a", "no", "gone")]
    assert found == [False, False, True]

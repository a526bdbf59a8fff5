"""What rows cost whose recordings lie elsewhere: by their headers, without fetching one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from pipeline.audio.probe import read_recording
from pipeline.audio.remote import MOST_BYTES
from pipeline.checkpoint import UNKNOWN, UNREADABLE, Checkpoint, Finished, ScannedRow
from pipeline.config import Settings
from pipeline.errors import AudioForbidden, SourceOut, SourceRefusesAll, SourceUnreachable
from pipeline.gradium.request import request_settings
from pipeline.model import Utterance
from pipeline.run.costs import Bounds, Costs
from pipeline.run.pricing import AT_ONCE_REMOTE, costs_of
from pipeline.run.settings_hash import SettingsHash
from pipeline.source import FileInfo, Sources
from pipeline.source.rules import Rules
from tests.audio.forms import encoded, plain, sentence
from tests.records import transcript
from tests.source.bucket import Bucket

SETTINGS = Settings.model_validate({"price": {"credits_per_s": 3}})
HASHES = SettingsHash(SETTINGS, request_settings(SETTINGS.service))
SPEECH = np.tile(sentence(), 4)
SECONDS = len(SPEECH) / 24_000


@pytest.fixture
def checkpoint(tmp_path: Path) -> Iterator[Checkpoint]:
    with Checkpoint(tmp_path / "checkpoint.sqlite") as opened:
        yield opened


def row(bucket: Bucket, audio: str, id_: str = "", version: str | None = "", **span: float) -> ScannedRow:
    """A row as a scan finds it, or with another `version`."""
    utterance = Utterance(id=id_ or audio, audio=audio, **span)  # type: ignore[arg-type]
    info = FileInfo("", None, 0.0) if version != "" else bucket.info(audio)
    return ScannedRow(
        utterance=utterance,
        config_hash=HASHES.of(utterance),
        expected_s=1.0,
        version=info.version if version == "" else version,
        size=info.size_bytes,
    )


def price(checkpoint: Checkpoint, rows: Iterable[ScannedRow], sources: Sources | None) -> Costs:
    checkpoint.scan(rows, "m")
    stopped = threading.Event()
    return costs_of(
        checkpoint, (), SETTINGS, HASHES, bounds=Bounds(), resends_failed=False, sources=sources, stopped=stopped
    )


def test_headers_are_priced_and_little_is_read_of_each(checkpoint: Checkpoint) -> None:
    bucket = Bucket({f"s3://b/{n}.wav": plain()(SPEECH[n:]) for n in range(50)})
    found = price(checkpoint, (row(bucket, audio) for audio in bucket.objects), bucket.sources())
    assert found.requests == 50
    assert found.credits == pytest.approx(150 * SECONDS, rel=0.001)
    assert (found.estimated_credits, found.uncompared) == (0, 0)
    assert max(bucket.bytes.values()) <= MOST_BYTES < min(map(len, bucket.objects.values()))
    assert not bucket.stats  # the scan asked already


def test_a_span_of_a_recording_and_one_outside_of_it(checkpoint: Checkpoint) -> None:
    bucket = Bucket({"s3://b/a.wav": plain()(SPEECH)})
    rows = [
        row(bucket, "s3://b/a.wav", "in", offset_s=1.0, duration_s=2.0),
        row(bucket, "s3://b/a.wav", "out", offset_s=99.0),
    ]
    found = price(checkpoint, rows, bucket.sources())
    assert found.credits == pytest.approx(6)
    assert found.unsendable == {"SpanOutside": 1}


def test_what_is_not_there_or_may_not_be_read_fails_with_its_error(checkpoint: Checkpoint) -> None:
    bucket = Bucket({"s3://b/a.wav": plain()(SPEECH), "s3://b/no.wav": plain()(SPEECH[1:])})
    rows = [row(bucket, "s3://b/a.wav"), row(bucket, "s3://b/no.wav"), row(bucket, "s3://b/gone.wav", version=None)]
    bucket.errors["s3://b/no.wav"] = AudioForbidden("s3://b/no.wav is refused")
    found = price(checkpoint, rows, bucket.sources())
    assert found.requests == 1
    assert [(one.error, one.message) for one in found.problems] == [
        ("AudioForbidden", "s3://b/no.wav is refused"),
        ("AudioMissing", "there is no s3://b/gone.wav"),
    ]


def test_a_source_that_refuses_everybody_ends_the_forecast(checkpoint: Checkpoint) -> None:
    bucket = Bucket({f"s3://b/{n}.wav": plain()(SPEECH[n:]) for n in range(30)})
    rows = [row(bucket, audio) for audio in bucket.objects]
    bucket.errors = {audio: AudioForbidden("403") for audio in bucket.objects}
    with pytest.raises(SourceRefusesAll, match="s3://b refused"):
        price(checkpoint, rows, bucket.sources())


def test_a_store_that_is_out_for_too_long_ends_the_forecast_at_once(checkpoint: Checkpoint) -> None:
    bucket = Bucket({f"s3://b/{n}.wav": plain()(SPEECH[n:]) for n in range(40)})
    rows = [row(bucket, audio) for audio in bucket.objects]
    bucket.down = SourceUnreachable("no route")
    sources = bucket.sources(Rules(probe_s=0.01, outage_max_s=0.02))
    begun = time.monotonic()
    with pytest.raises(SourceOut, match="s3://b was out"):
        price(checkpoint, rows, sources)
    assert time.monotonic() - begun < 5  # each of them would wait for its own probe


def test_one_that_cannot_be_read_though_its_store_answers_is_not_asked_for_ever(checkpoint: Checkpoint) -> None:
    bucket = Bucket({f"s3://b/{n}.wav": plain()(SPEECH[n:]) for n in range(3)})
    sources = bucket.sources(Rules(probe_s=0.001, base_s=0.001, max_s=0.001))
    sources.stat("s3://b/2.wav")
    bucket.refused = SourceUnreachable("reset by peer")
    found = price(checkpoint, [row(bucket, audio) for audio in bucket.objects], sources)
    assert found.unsendable == {"SourceUnreachable": 3}


@pytest.mark.parametrize("version", [UNKNOWN, UNREADABLE])
def test_one_that_did_not_answer_is_asked_again(checkpoint: Checkpoint, version: str) -> None:
    bucket = Bucket({"s3://b/a.wav": plain()(SPEECH)})
    found = price(checkpoint, [row(bucket, "s3://b/a.wav", version=version)], bucket.sources())
    assert (found.requests, bucket.stats["s3://b/a.wav"]) == (1, 1)


def test_one_that_is_replaced_meanwhile_is_looked_at_anew(checkpoint: Checkpoint) -> None:
    bucket = Bucket({"s3://b/a.wav": plain()(SPEECH)})
    rows = [row(bucket, "s3://b/a.wav")]
    bucket.objects["s3://b/a.wav"] = plain()(sentence())
    assert price(checkpoint, rows, bucket.sources()).credits == pytest.approx(3 * SECONDS / 4, rel=0.001)


def test_where_only_content_would_decide_a_row_counts_as_sent(checkpoint: Checkpoint, tmp_path: Path) -> None:
    bucket = Bucket({"s3://b/a.wav": plain()(SPEECH)})
    checkpoint.scan([row(bucket, "s3://b/a.wav")], "m")
    checkpoint.merge(())
    (tmp_path / "a.wav").write_bytes(bucket.objects["s3://b/a.wav"])
    known = read_recording(str(tmp_path / "a.wav"))
    [identity, *_] = HASHES.identities(Utterance(id="s3://b/a.wav", audio="s3://b/a.wav"), known)
    done = transcript("s3://b/a.wav", audio_hash=known.audio_hash, config=identity.config_hash)
    checkpoint.apply([Finished(n=1, transcript=msgspec.structs.replace(done, audio="s3://b/a.wav"))])
    bucket.objects["s3://b/copy.wav"] = bucket.objects["s3://b/a.wav"]
    bucket.objects["s3://b/other.wav"] = plain()(sentence())
    again = msgspec.structs.replace(row(bucket, "s3://b/a.wav"), version="another ETag")
    sources = bucket.sources()
    rows = [
        again,
        row(bucket, "s3://b/copy.wav"),
        row(bucket, "s3://b/copy.wav", "twice"),
        row(bucket, "s3://b/other.wav"),
    ]
    found = price(checkpoint, rows, sources)
    # of rows of one object a run sends one
    assert (found.requests, found.copies, found.uncompared) == (3, 1, 2)
    assert max(bucket.bytes.values()) <= 2 * MOST_BYTES


def test_a_length_that_no_header_counts_is_an_estimate(checkpoint: Checkpoint) -> None:
    bucket = Bucket({"s3://b/a.opus": encoded("libopus", "ogg", rate=48_000)(np.tile(SPEECH, 3))})
    found = price(checkpoint, [row(bucket, "s3://b/a.opus")], bucket.sources())
    assert found.credits == pytest.approx(9 * SECONDS, rel=0.01)
    assert found.estimated_share == 1


def test_without_sources_nothing_is_read(checkpoint: Checkpoint) -> None:
    bucket = Bucket({"s3://b/a.wav": plain()(SPEECH)})
    found = price(checkpoint, [row(bucket, "s3://b/a.wav"), row(bucket, "s3://b/x.wav", version=UNKNOWN)], None)
    assert (found.requests, found.estimated_share, found.unsendable) == (1, 1, {"AudioUnavailable": 1})


def test_many_are_read_at_a_time(checkpoint: Checkpoint) -> None:
    bucket = Bucket({f"s3://b/{n}.wav": plain()(sentence()[n:]) for n in range(AT_ONCE_REMOTE)})
    sources, together = bucket.sources(), threading.Barrier(AT_ONCE_REMOTE)
    read = sources.read

    def waits(path: str, start: int, stop: int, version: str | None = None, **_: bool) -> bytes:
        if not start:
            together.wait(10)
        return read(path, start, stop, version)

    sources.read = waits  # type: ignore[method-assign]
    rows = [row(bucket, audio) for audio in bucket.objects]
    assert price(checkpoint, rows, sources).requests == AT_ONCE_REMOTE


def test_rows_of_local_parquet_files_are_looked_at_as_files_are(checkpoint: Checkpoint, tmp_path: Path) -> None:
    audio = plain()(SPEECH)

    class Rows(Sources):
        def fetch(self, path: str, file: object, max_bytes: int, *, failed_before: bool = False) -> FileInfo:
            assert max_bytes > len(audio)
            file.write(audio)  # type: ignore[attr-defined]
            return FileInfo("v", len(audio), 0.0)

    name = f"{tmp_path}/a.parquet#row="
    rows = [
        ScannedRow(
            utterance=(one := Utterance(id=f"{n}", audio=f"{name}{n}")),
            config_hash=HASHES.of(one),
            expected_s=1.0,
            version="v",
            size=5 + n,
        )
        for n in range(2)
    ]
    found = price(checkpoint, rows, Rows())
    assert (found.requests, found.copies, found.estimated_credits) == (1, 1, 0)  # the same audio
    assert found.credits == pytest.approx(3 * SECONDS, rel=0.001)

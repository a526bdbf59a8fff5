"""No header decides what is paid: what the service counts is never more than what the ledger says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.gradium.wire import CREDITS_PER_S
from tests.audio.forms import encoded, plain, sentence, written
from tests.audio.lies import OGG_LIES, WAV_LIES
from tests.batch import batch, errors_of, rows_of, table_of
from tests.servers import start_server

HONEST = {
    "wav": plain(),
    "wav of 8 kHz": plain(rate=8_000),
    "ogg": encoded("libopus", "ogg", rate=48_000),
    "ogg of libsndfile": written("OGG", "OPUS", rate=48_000),
    "ogg in frames of 60 ms": encoded("libopus", "ogg", rate=48_000, codec_options={"frame_duration": "60"}),
    "flac": written("FLAC", "PCM_16"),
}


@pytest.mark.slow
@pytest.mark.parametrize("upload", ["auto", "opus"])
def test_no_request_is_charged_more_than_the_ledger_says_whatever_headers_say(
    tmp_path: Path, out: Path, upload: str
) -> None:
    makers = HONEST | WAV_LIES | OGG_LIES
    folder, log = tmp_path / "audio", tmp_path / "log.jsonl"
    folder.mkdir()
    for name, make in makers.items():
        (folder / f"{name}.wav").write_bytes(make(sentence()))
    with start_server(request_log=log) as server:
        result = batch("run", folder, "--out", out, "--set", f"audio.upload={upload}", server=server)
        charged = server.stats()["credits_charged"]
    attempts = table_of(out, "attempts").to_pylist()
    ledger = {row["request_id"]: row for row in attempts if row["request_id"]}
    for line in map(json.loads, log.read_text().splitlines()):
        if line["audio_s"]:
            row = ledger[line["request_id"]]
            assert line["audio_s"] * CREDITS_PER_S <= row["credits"] + 1e-6, row["id"]
    assert 0 < charged <= sum(row["credits"] for row in attempts) + 1e-6
    assert result.exit == 3, result.stderr
    done, failed = rows_of(out), errors_of(out)
    assert {*done, *failed} == {f"{name}.wav" for name in makers}
    assert {f"{name}.wav" for name in HONEST} <= {*done}

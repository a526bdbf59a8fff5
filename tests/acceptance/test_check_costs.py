"""What `check` says a run costs is what it costs: the issue's cases, and its limits as `run` has them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from pipeline.report.figures import rounded
from tests.audio.forms import encoded, numbers, sentence, wav
from tests.batch import Corpus, Finished, batch, errors_of, write_wav
from tests.servers import RunningServer, start_server

SHORT = ("--set", "audio.max_clip_s=5", "--set", "retry.max_attempts=1")
REQUIRED = ("--set", "service.require_credits=true")
ONE_FAILS = '[[fault]]\nkind = "{}"\n{}after_requests = 3\nuntil_requests = 4'
REFUSED = ONE_FAILS.format("policy", 'message = "the audio cannot be decoded"\n')
BROKEN = ONE_FAILS.format("internal_error", "")


@pytest.fixture
def breaking() -> Iterator[RunningServer]:
    """The fourth request, and no other, gets no answer."""
    with start_server(faults=BROKEN) as running:
        yield running


def forecast_of(*args: str | Path, server: RunningServer | None = None) -> dict[str, Any]:
    result = batch("check", *args, "--json", server=server)
    assert result.exit == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def billed(server: RunningServer, *args: str | Path) -> tuple[int, float, Finished]:
    """Requests and credits of a run."""
    before = server.stats()
    result = batch("run", *args, server=server)
    after = server.stats()
    return after["requests"] - before["requests"], after["credits_charged"] - before["credits_charged"], result


def stereo(path: Path, seed: int, seconds: float) -> None:
    path.parent.mkdir(exist_ok=True)
    samples = np.random.default_rng(seed).uniform(-0.3, 0.3, (round(seconds * 24_000), 2))
    soundfile.write(path, samples, 24_000, subtype="PCM_16")


def test_answered_clips_of_a_recording_that_is_not_selected_are_not_subtracted(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=0)
    corpus.add(0, 50.0)
    args = (corpus.folder, "--out", out)
    with start_server(faults=REFUSED) as server:
        assert batch("run", *args, *SHORT, "--concurrency", "1", server=server).exit == 3
    for number in range(1, 6):
        corpus.add(number, 2.0)
    with start_server(credits=20) as poor:
        told = forecast_of(*args, *SHORT, server=poor)
        assert (told["selected"], told["requests"], told["credits"], told["answered_clips"]) == (5, 5, 30.0, 0)
        requests, _, result = billed(poor, *args, *SHORT, *REQUIRED)
        assert (requests, result.exit) == (0, 1)
        assert "the account holds 20 credits and the run takes about 30; nothing was sent" in result.stderr
    with start_server(credits=30) as server:
        assert billed(server, *args, *SHORT, *REQUIRED)[:2] == (5, pytest.approx(30))


CHANGES: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "split to mix": (lambda path: None, ("--set", "audio.channels=mix")),
    "another content": (lambda path: stereo(path, 2, 30.0), ("--set", "audio.channels=split")),
    "other clips": (lambda path: None, ("--set", "audio.channels=split", "--set", "audio.max_clip_s=12")),
    "other silence": (lambda path: None, ("--set", "audio.channels=split", "--set", "audio.lead_silence_s=0.5")),
}


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_only_answers_that_still_match_are_subtracted(
    breaking: RunningServer, tmp_path: Path, out: Path, change: str
) -> None:
    changes, settings = CHANGES[change]
    path = tmp_path / "audio/call.wav"
    stereo(path, 1, 30.0)
    args = (path.parent, "--out", out)
    assert batch("run", *args, *SHORT, "--set", "audio.channels=split", "--concurrency", "1", server=breaking).exit == 3
    changes(path)
    told = forecast_of(*args, *SHORT, *settings, server=breaking)
    assert told["credits"] > 5
    with start_server(credits=told["credits"] * 0.9) as poor:
        requests, _, result = billed(poor, *args, *SHORT, *settings, *REQUIRED)
        assert (requests, result.exit) == (0, 1)
        assert f"takes about {told['credits']:,.0f}" in result.stderr
    with start_server(credits=told["credits"] * 1.01) as server:
        requests, credits, result = billed(server, *args, *SHORT, *settings, *REQUIRED)
    assert result.exit == 0, result.stderr
    assert (requests, credits) == (told["requests"], pytest.approx(told["credits"], rel=0.01))


def test_answers_are_found_again_after_their_row_got_another_recording(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    """And a run, which sent nothing, has seen that."""
    for name, seconds in (("a", 20.0), ("b", 31.0)):
        write_wav(tmp_path / f"audio/{name}.wav", seed=ord(name), seconds=seconds)
    args = (tmp_path / "audio", "--out", out, *SHORT)
    answered, _, _ = billed(server, *args, "--budget", "20", "--concurrency", "1")
    assert answered > 0
    a, b = (tmp_path / f"audio/{name}.wav" for name in "ab")
    for path, to in ((a, tmp_path / "c"), (b, a), (tmp_path / "c", b)):
        path.rename(to)
    assert billed(server, *args, "--budget", "1")[0] == 0
    told = forecast_of(*args, server=server)
    assert told["answered_clips"] == answered
    assert (told["requests"], pytest.approx(told["credits"], rel=0.01)) == billed(server, *args)[:2]


def test_what_a_run_refuses_free_of_charge_is_not_priced(server: RunningServer, tmp_path: Path, out: Path) -> None:
    write_wav(tmp_path / "a.wav", seed=1, seconds=4.0)
    write_wav(tmp_path / "long.wav", seed=2, seconds=12.0)
    soundfile.write(tmp_path / "long.flac", np.random.default_rng(3).uniform(-0.3, 0.3, 12 * 24_000), 24_000)
    speech = numbers(sentence())
    (tmp_path / "cut.wav").write_bytes(wav(speech, data_size=10 * len(speech)))
    (tmp_path / "odd.wav").write_bytes(wav(speech[: len(speech) // 8 * 8], bits=64))
    (tmp_path / "fast.wav").write_bytes(wav(speech, rate=2_000_000))
    rows = [
        "good,a.wav,,,",
        "begins behind the end,a.wav,9,,",
        "begins behind the end and goes on,a.wav,9,1,",
        "ends behind the end,a.wav,1,9,",
        "no sample,a.wav,1,0.00001,",
        "no such channel,a.wav,,,1",
        "too long,long.wav,,,",
        "too long for decoding,long.flac,,,",
        "cut short,cut.wav,,,",
        "64 bits,odd.wav,,,",
        "2 MHz,fast.wav,,,",
    ]
    manifest = tmp_path / "m.csv"
    manifest.write_text("id,audio,offset_s,duration_s,channel\n" + "\n".join(rows) + "\n")
    bounded = ("--set", f"audio.max_recording_h={10 / 3600}")
    told = forecast_of(manifest, "--out", out, *bounded, server=server)
    requests, credits, _ = billed(server, manifest, "--out", out, *bounded)
    assert (told["requests"], told["credits"]) == (requests, credits) == (1, 12.0)
    failed = errors_of(out)
    assert {row["id"]: row["error"] for row in told["problems"]} == failed
    assert len(failed) == len(rows) - 1


def test_the_seconds_told_are_of_what_is_sent(breaking: RunningServer, tmp_path: Path, out: Path) -> None:
    write_wav(tmp_path / "audio/long.wav", seed=1, seconds=40.0)
    args = (tmp_path / "audio", "--out", out)
    assert batch("run", *args, *SHORT, server=breaking).exit == 3
    told = forecast_of(*args, *SHORT, server=breaking)
    assert told["requests"] == 1
    assert told["audio_s"] == pytest.approx(told["sent_s"], abs=1e-3)
    assert told["audio_s"] < 5


def test_what_is_an_estimate_is_said_with_its_part_of_the_whole(tmp_path: Path, out: Path) -> None:
    folder = tmp_path / "audio"
    write_wav(folder / "a.wav", seed=1, seconds=3.0)
    exact = batch("check", folder, "--out", out)
    assert "\nestimated" not in exact.stdout
    (folder / "b.aac").write_bytes(encoded("aac", "adts")(sentence()))
    told = forecast_of(folder, "--out", out)
    assert 0 < told["estimated_credits"] == pytest.approx(told["credits"] - 9.0)
    assert told["estimated_share"] == pytest.approx(told["estimated_credits"] / told["credits"], abs=1e-3)
    line = next(line for line in batch("check", folder, "--out", out).stdout.splitlines() if "estimated" in line)
    assert f"{rounded(told['estimated_credits'])} of these credits ({told['estimated_share']:.0%})" in line


# -- limits and budgets ------------------------------------------------------------------------------------------------


def lengths(folder: Path, *seconds: float) -> Corpus:
    corpus = Corpus(folder, count=0)
    for number, length_s in enumerate(seconds):
        corpus.add(number, length_s)
    return corpus


@pytest.mark.parametrize(
    "bounds",
    [
        ("--limit", "3"),
        ("--budget", "40"),
        ("--budget", "30", "--limit", "2"),
        ("--budget", "1"),
        ("--set", "budget.credits_per_month=30"),
        ("--budget", "1000"),
    ],
)
def test_what_fits_is_what_a_run_within_the_same_bounds_sends(
    server: RunningServer, tmp_path: Path, out: Path, bounds: tuple[str, ...]
) -> None:
    corpus = lengths(tmp_path / "audio", 20.0, 8.0, 5.0, 3.0, 2.0, 1.0)
    shutil.copy(corpus.folder / "00000.wav", corpus.folder / "copy.wav")
    shutil.copy(corpus.folder / "00003.wav", corpus.folder / "other.wav")
    args = (corpus.folder, "--out", out, *bounds)
    told = forecast_of(*args, server=server)
    fitting = told["fitting"] or told
    requests, credits, result = billed(server, *args, "--concurrency", "1")
    assert (fitting["requests"], fitting["credits"]) == (requests, pytest.approx(credits)), result.stderr
    if told["fitting"]:
        assert fitting["utterances"] == result.figures["done"]
    assert (told["beyond_limit"] > 0 or (told["fitting"] or {}).get("passed_over", 0) > 0) == (result.exit == 4)
    # and the next night, in whose order those come last that were passed over
    told = forecast_of(*args, server=server)
    fitting = told["fitting"] or told
    requests, credits, result = billed(server, *args, "--concurrency", "1")
    assert (fitting["requests"], fitting["credits"]) == (requests, pytest.approx(credits)), result.stderr


def test_a_budget_below_the_estimate_says_what_of_it_fits(tmp_path: Path, out: Path) -> None:
    corpus = lengths(tmp_path / "audio", *[2.0] * 10)
    told = batch("check", corpus.folder, "--out", out, "--budget", "20").stdout
    assert "would send     10 requests, 20.0 s of audio\ncredits        60 (3 per" in told
    assert "fits           3 of 10 requests, 18 credits; 3 utterances done, 7 utterances passed over" in told
    assert "fits           all of it" in batch("check", corpus.folder, "--out", out, "--budget", "60").stdout
    told = batch("check", corpus.folder, "--out", out, "--limit", "4").stdout
    assert "to do          10 utterances; --limit 4 leaves 6 of them for another run" in told
    assert "would send     4 requests" in told


def test_what_a_budget_passes_over_takes_no_place_of_the_limit_and_is_not_told_as_sent(
    tmp_path: Path, out: Path
) -> None:
    corpus = lengths(tmp_path / "audio", *[20.0] * 5, *[2.0] * 3)
    told = batch("check", corpus.folder, "--out", out, "--limit", "2", "--budget", "20").stdout
    assert "would send     2 requests, 40.0 s of audio\ncredits        120 (3 per" in told
    assert "fits           2 requests, 12 credits; 2 utterances done, 5 utterances passed over" in told


def test_nothing_fits_a_month_that_is_used_up(server: RunningServer, tmp_path: Path, out: Path) -> None:
    corpus = lengths(tmp_path / "audio", *[2.0] * 3)
    month = ("--set", "budget.credits_per_month=12")
    assert batch("run", corpus.folder, "--out", out, *month, server=server).exit == 4
    told = batch("check", corpus.folder, "--out", out, *month, server=server).stdout
    assert "0 of 12 credits left" in told
    assert "fits           nothing; 1 utterance passed over" in told


def test_a_long_recording_is_above_the_budget_by_its_dearest_clip(tmp_path: Path, out: Path) -> None:
    write_wav(tmp_path / "audio/a.wav", seed=1, seconds=40.0)
    told = forecast_of(tmp_path / "audio", "--out", out, "--set", "audio.max_clip_s=30", "--budget", "50")
    assert told["above_credits"] is not None
    assert told["above_budget"] == 1
    (tmp_path / "m.csv").write_text("id,audio,offset_s,duration_s\nlong,audio/a.wav,0,25\nshort,audio/a.wav,30,1\n")
    told = forecast_of(tmp_path / "m.csv", "--out", out, "--budget", "50")
    assert (told["above_ids"], told["above_credits"]) == (["long"], [75.0, 75.0])


# -- what a run refuses ------------------------------------------------------------------------------------------------


def test_bad_rows_count_once_and_are_skipped_where_a_run_skips_them(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    for name in "ab":
        write_wav(tmp_path / f"{name}.wav", seed=ord(name), seconds=1.0)
    manifest = tmp_path / "m.csv"
    manifest.write_text("id,audio\na,a.wav\nb,b.wav\nc,\nd,\n")
    args = ("check", manifest, "--out", out)
    refused = batch(*args, server=server)
    assert refused.exit == 2
    assert "rows           4 (2 new, 0 changed, 0 done, 0 failed)" in refused.stdout
    assert "bad rows       2: a run refuses the manifest and sends nothing" in refused.stdout
    skipped = batch(*args, "--skip-bad-rows", server=server)
    assert skipped.exit == 0
    assert "bad rows       2: skipped, and listed in errors.*" in skipped.stdout
    assert batch("run", manifest, "--out", out, "--skip-bad-rows", server=server).exit == 3
    again = batch(*args, "--skip-bad-rows", server=server)
    assert "rows           4 (0 new, 0 changed, 2 done, 0 failed)" in again.stdout
    manifest.write_text("id,audio\na,a.wav\na,b.wav\n")
    for command in ("check", "run"):
        twice = batch(command, manifest, "--out", out, "--skip-bad-rows", server=server)
        assert (twice.exit, "id 'a' is taken by line 2" in twice.stderr) == (2, True)


def test_check_refuses_what_a_run_refuses(server: RunningServer, tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=1)
    args = (corpus.folder, "--out", out)
    query = ("--set", f"service.url={server.url}?language=fr")
    told = [batch(command, *args, *query, server=server) for command in ("check", "run")]
    assert [result.exit for result in told] == [2, 2]
    assert "leave out what follows the path" in told[0].stderr
    assert told[0].stderr.strip().splitlines()[0] == told[1].stderr.strip().splitlines()[0]
    assert batch("run", *args, server=server).exit == 0
    told = [batch(command, *args, "--set", 'sink.formats=["jsonl"]', server=server) for command in ("check", "run")]
    assert [result.exit for result in told] == [2, 2]
    assert "this output was begun with" in told[0].stderr


def test_check_refuses_a_default_output_of_another_manifest(server: RunningServer, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        write_wav(tmp_path / folder / "calls/a.wav", seed=1)
    assert batch("run", "one/calls", server=server, cwd=tmp_path).exit == 0
    for command in ("check", "run"):
        result = batch(command, "two/calls", server=server, cwd=tmp_path)
        assert result.exit == 2
        assert "holds the transcripts of" in result.stderr
    assert batch("check", "two/calls", "--out", "elsewhere", server=server, cwd=tmp_path).exit == 0

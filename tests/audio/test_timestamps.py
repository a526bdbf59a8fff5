"""Recordings whose clock jumps or begins late: silence is put there, and what comes later is where the clock has it."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import pytest

from pipeline import errors
from pipeline.audio.decode import decode
from pipeline.audio.probe import probe
from pipeline.audio.tracks import Decoded
from tests.audio.forms import RATE
from tests.batch import batch, jsonl_of
from tests.servers import RunningServer, start_server

CODED_RATE = 48_000
WRAP_S = 2**33 / 90_000
"""Of the clock in MPEG-TS."""


class Form(NamedTuple):
    container: str
    codec: str
    rate: int = CODED_RATE


FORMS = {
    "mka": Form("matroska", "libopus"),
    "mka aac": Form("matroska", "aac"),
    "webm": Form("webm", "libopus"),
    "flv": Form("flv", "aac"),
    "m4a": Form("ipod", "aac"),
    "mp4": Form("mp4", "aac"),
    "3gp": Form("3gp", "aac"),
    "wma": Form("asf", "wmav2", 44_100),
    "mpegts": Form("mpegts", "aac"),
    "mpeg": Form("mpeg", "mp2"),
}
Pieces = list[tuple[float, float]]
"""When each begins by the clock, and how long it is."""


def record(path: Path, form: Form, pieces: Pieces, video: tuple[float, float] | None = None) -> Path:
    """A second of each piece in is a beep of a second's tenth; `video` is when a picture begins and ends."""
    length = round(sum(seconds for _, seconds in pieces) * form.rate)
    samples, shifts, place = np.zeros(length, dtype=np.float32), [], 0.0
    for start, seconds in pieces:
        shifts.append((place, start - place))
        beep = np.arange(form.rate // 10)
        begin = round((place + 1) * form.rate)
        samples[begin : begin + len(beep)] = 0.5 * np.sin(2 * np.pi * 1_000 * beep / form.rate)
        place += seconds
    with av.open(str(path), "w", format=form.container) as output:
        stream = output.add_stream(form.codec, rate=form.rate, layout="mono")
        stream.bit_rate = 64_000
        packets = []
        if video:
            picture = output.add_stream("mpeg4", rate=10, width=64, height=48)
            for _ in range(round((video[1] - video[0]) * 10)):
                packets += [*picture.encode(av.VideoFrame(64, 48, "yuv420p"))]
            packets += [*picture.encode(None)]
            for packet in packets:
                move(packet, video[0])
        sound = []
        for begin in range(0, length, 1_024):
            frame = av.AudioFrame.from_ndarray(samples[None, begin : begin + 1_024], format="flt", layout="mono")
            frame.sample_rate, frame.pts = form.rate, begin
            sound += stream.encode(frame)
        for packet in [*sound, *stream.encode(None)]:
            at = packet.pts * packet.time_base
            move(packet, [shift for start, shift in shifts if at >= start or start == 0][-1])
            packets.append(packet)
        output.mux(sorted(packets, key=lambda packet: packet.dts * packet.time_base))
    return path


def move(packet: av.Packet, seconds: float) -> None:
    assert packet.pts is not None
    assert packet.dts is not None
    by = round(seconds / packet.time_base)
    packet.pts, packet.dts = packet.pts + by, packet.dts + by


def decoded(path: Path, *, allow: bool = False) -> Decoded:
    return decode(str(path), str(path.with_name("out")), "mix", allow_truncated=allow)


def beeps(found: Decoded) -> list[float]:
    """When each begins."""
    sound = np.fromfile(found.tracks[0].path, dtype="<i2") / 32_768
    loud = np.flatnonzero(np.convolve(sound**2, np.ones(48) / 48, "same") > 0.02) / RATE
    return [float(loud[0]), *(float(now) for before, now in pairwise(loud) if now - before > 0.3)]


@pytest.mark.parametrize(
    "pieces",
    [[(0.0, 3.0), (7.0, 3.0)], [(3.0, 3.0)], [(2.0, 2.0), (5.0, 2.0), (40.0, 2.0)]],
    ids=["jump", "late start", "both"],
)
@pytest.mark.parametrize("name", FORMS)
def test_what_comes_later_is_where_the_clock_has_it(name: str, pieces: Pieces, tmp_path: Path) -> None:
    path = record(tmp_path / "recording", FORMS[name], pieces)
    nought = pieces[0][0] if name in ("mpegts", "mpeg") else 0.0  # a clock that may begin anywhere
    found = decoded(path)
    assert found.issues == ()
    has_jumps = len(pieces) > 1 or nought != pieces[0][0]
    assert found.tracks[0].names == (("ch0_on_clock",) if has_jumps else ("ch0", "0")), "places are those of before"
    assert beeps(found) == pytest.approx([start + 1 - nought for start, _ in pieces], abs=0.06)
    assert found.duration_s == pytest.approx(pieces[-1][0] + pieces[-1][1] - nought, abs=0.15)
    assert probe(str(path)).duration_s == pytest.approx(found.duration_s, abs=0.25)  # but for a packet of MPEG-PS


@pytest.mark.parametrize("name", ["mka", "webm", "flv", "mpegts"])
def test_a_clock_that_jumps_over_more_than_half_is_not_followed(name: str, tmp_path: Path) -> None:
    path = record(tmp_path / "recording", FORMS[name], [(0.0, 8.0), (95_000.0, 8.0)])
    found = decoded(path)
    assert (found.issues, beeps(found)) == ((), pytest.approx([1.0, 9.0], abs=0.06))
    assert found.duration_s == pytest.approx(16, abs=0.15)
    assert probe(str(path)).duration_s == pytest.approx(16, abs=0.2)


@pytest.mark.parametrize("name", ["mka", "m4a", "flv"])
def test_a_clock_that_begins_long_after_nought_begins_with_the_first_sample(name: str, tmp_path: Path) -> None:
    path = record(tmp_path / "recording", FORMS[name], [(5_000.0, 30.0)])
    assert decoded(path).duration_s == pytest.approx(30, abs=0.15)
    assert probe(str(path)).duration_s == pytest.approx(30, abs=0.2)


def test_the_clock_of_mpeg_ts_may_wrap_and_jump_there(tmp_path: Path) -> None:
    path = record(tmp_path / "recording", FORMS["mpegts"], [(WRAP_S - 4, 3.0), (WRAP_S + 2, 3.0)])
    found = decoded(path)
    assert beeps(found) == pytest.approx([1.0, 7.0], abs=0.06)
    assert probe(str(path)).duration_s == pytest.approx(found.duration_s, abs=0.1)


def test_a_clock_that_goes_back_loses_and_adds_nothing(tmp_path: Path) -> None:
    one = record(tmp_path / "one", FORMS["mpegts"], [(100.0, 3.0)]).read_bytes()
    path = tmp_path / "recording"
    path.write_bytes(one * 3)
    found = decoded(path)
    assert beeps(found) == pytest.approx([1.0, 4.0, 7.1], abs=0.1)
    assert probe(str(path)).duration_s == pytest.approx(found.duration_s, rel=0.01)


@pytest.mark.parametrize(
    ("form", "nought"), [(Form("matroska", "aac"), 0.0), (Form("mp4", "aac"), 0.0), (Form("mpegts", "aac"), 2.0)]
)
def test_the_sound_of_a_film_is_where_it_is_in_the_film(form: Form, nought: float, tmp_path: Path) -> None:
    path = record(tmp_path / "recording", form, [(5.0, 3.0), (10.0, 3.0)], video=(2.0, 13.0))
    found = decoded(path)
    assert beeps(found) == pytest.approx([6.0 - nought, 11.0 - nought], abs=0.06)
    assert probe(str(path)).duration_s == pytest.approx(found.duration_s, abs=0.15)


@pytest.mark.parametrize("name", ["mka", "webm", "flv", "m4a", "wma"])
@pytest.mark.parametrize("share", [0.5, 0.8])
def test_a_file_with_a_jump_that_breaks_off_is_still_refused(name: str, share: float, tmp_path: Path) -> None:
    path = record(tmp_path / "recording", FORMS[name], [(3.0, 10.0), (20.0, 10.0)])
    data = path.read_bytes()
    if name == "m4a":  # whose index comes last
        moov = data.index(b"moov") - 4
        data = data[: int(moov * share)] + bytes(moov - int(moov * share)) + data[moov:]
        path.write_bytes(data)
    else:
        path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(errors.AudioTruncated, match=r"decodes for \d+\.\d s, then: "):
        decoded(path)
    assert decoded(path, allow=True).issues == ("truncated",)


@pytest.mark.parametrize("name", ["mka", "webm", "flv"])
@pytest.mark.parametrize("share", [0.2, 0.7])
def test_bytes_that_are_passed_over_are_no_pause(name: str, share: float, tmp_path: Path) -> None:
    path = record(tmp_path / "recording", FORMS[name], [(0.0, 60.0)])
    data = bytearray(path.read_bytes())
    begin = len(data) // 5
    data[begin : begin + int(len(data) * share)] = bytes(int(len(data) * share))
    path.write_bytes(data)
    with pytest.raises(errors.AudioTruncated, match=r"decodes for .*: .*(its data is damaged|its header says)"):
        decoded(path)


def test_a_recorder_that_leaves_silence_out_may_leave_most_out(tmp_path: Path) -> None:
    pieces = [(20.0 * number, 2.0) for number in range(12)]
    path = record(tmp_path / "recording", FORMS["webm"], pieces)
    found = decoded(path)
    assert beeps(found) == pytest.approx([start + 1 for start, _ in pieces], abs=0.06)
    assert probe(str(path)).duration_s == pytest.approx(found.duration_s, rel=0.01)


def test_many_small_losses_add_up(tmp_path: Path) -> None:
    """As where a call's packets were lost on the way: none is long enough to be heard."""
    pieces = [(1.5 * number + 0.03 * number, 1.5) for number in range(40)]
    found = decoded(record(tmp_path / "recording", FORMS["webm"], pieces))
    assert found.duration_s == pytest.approx(pieces[-1][0] + 1.5, abs=0.15)
    assert beeps(found)[-1] == pytest.approx(pieces[-1][0] + 1, abs=0.08)


def test_check_prices_what_is_sent_and_words_are_on_the_clock(server: RunningServer, tmp_path: Path, out: Path) -> None:
    manifest = tmp_path / "m.csv"
    manifest.write_text("audio\na.mka\nb.ts\nc.webm\n")
    record(tmp_path / "a.mka", FORMS["mka"], [(2.0, 4.0), (30.0, 4.0)])
    record(tmp_path / "b.ts", FORMS["mpegts"], [(50.0, 4.0), (60.0, 4.0)])
    record(tmp_path / "c.webm", FORMS["webm"], [(0.0, 8.0), (95_000.0, 8.0)])
    told = json.loads(batch("check", manifest, "--out", out, "--json", server=server).stdout)
    done = batch("run", manifest, "--out", out, server=server)
    assert (done.exit, told["requests"]) == (0, 3)
    assert told["credits"] == pytest.approx(done.figures["credits"], rel=0.01)
    rows = {row["id"]: row for row in jsonl_of(out)}
    assert [row["duration_s"] for row in rows.values()] == pytest.approx([34, 14, 16], abs=0.15)
    starts = [word["start_s"] for word in rows["a.mka"]["words"]]
    assert not [start for start in starts if start < 1.5 or 6.5 < start < 29.5], "digital silence has no words"
    assert max(starts) > 30


def test_what_is_answered_of_a_recording_whose_clock_jumps_is_not_sent_again(tmp_path: Path, out: Path) -> None:
    record(tmp_path / "a.mka", FORMS["mka"], [(2.0, 8.0), (20.0, 8.0)])
    manifest = tmp_path / "m.csv"
    manifest.write_text("audio\na.mka\n")
    options = (manifest, "--out", out, "--set", "audio.max_clip_s=10", "--only", "failed", "--only", "new")
    refuse = '[[fault]]\nkind = "policy"\nmessage = "bad audio"\nafter_requests = 1\nuntil_requests = 2'
    with start_server(faults=refuse) as server:
        assert batch("run", *options, server=server).exit == 3
        sent = server.stats()["requests"]
        assert sent >= 3
        told = json.loads(batch("check", *options, "--json", server=server).stdout)
        assert batch("run", *options, server=server).exit == 0
        assert (told["requests"], server.stats()["requests"] - sent) == (1, 1)

"""A sound stays where it was, through every codec and every change of rate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.audio.decode import decode
from tests.audio.forms import RATE, Maker, encoded, numbers, plain, wav, written

PLACES_S = (1.0, 3.7)
BEEP_S = 0.05
FORMS: dict[str, Maker] = {
    **{f"wav {rate}": plain(rate=rate) for rate in (4_000, 8_000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000)},
    "wav adpcm": written("WAV", "MS_ADPCM"),
    "aiff": written("AIFF", "PCM_16"),
    "flac": written("FLAC", "PCM_16"),
    "mp3": encoded("libmp3lame", "mp3", rate=44_100),
    "m4a": encoded("aac", "ipod", rate=44_100),
    "alac": encoded("alac", "ipod"),
    "opus": encoded("libopus", "ogg", rate=48_000),
    "webm": encoded("libopus", "webm", rate=48_000),
    "vorbis": written("OGG", "VORBIS"),
    "amr": encoded("libopencore_amrnb", "amr", rate=8_000, bit_rate=12_200),
    "ac3": encoded("ac3", "ac3", rate=48_000),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_beep_stays_within_10_ms(name: str, tmp_path: Path) -> None:
    sound = np.zeros(5 * RATE, dtype=np.float32)
    for place in PLACES_S:
        start, length = int(place * RATE), int(BEEP_S * RATE)
        sound[start : start + length] = 0.5 * np.sin(2 * np.pi * 1_000 * np.arange(length) / RATE)
    path = tmp_path / "recording"
    path.write_bytes(FORMS[name](sound))
    track = decode(str(path), str(tmp_path / "out"), "mix", allow_truncated=False).tracks[0]
    decoded = np.fromfile(track.path, dtype="<i2") / 32_768
    level = np.convolve(decoded**2, np.ones(48) / 48, "same")
    loud = np.flatnonzero(level > 0.3 * level.max()) / RATE
    for place in PLACES_S:
        beep = loud[np.abs(loud - place) < 0.3]
        assert beep[0] == pytest.approx(place, abs=0.01)
        assert beep[-1] == pytest.approx(place + BEEP_S, abs=0.01)


@pytest.mark.parametrize("rate", [4_000, 8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 88_200, 192_000])
@pytest.mark.parametrize("samples", [1, 100, 44_101, 100_003])
def test_samples_are_counted_right(rate: int, samples: int, tmp_path: Path) -> None:
    path = tmp_path / "recording"
    path.write_bytes(wav(numbers(np.zeros(samples, dtype=np.float32)), rate=rate))
    decoded = decode(str(path), str(tmp_path / "out"), "mix", allow_truncated=False)
    assert decoded.duration_s == pytest.approx(samples / rate)
    assert abs(decoded.tracks[0].samples - samples * RATE / rate) <= 2
    assert Path(decoded.tracks[0].path).stat().st_size == 2 * decoded.tracks[0].samples


def test_16_bit_at_24_khz_is_untouched(tmp_path: Path) -> None:
    numbers_in = np.random.default_rng(2).integers(-32_768, 32_768, 60_000).astype("<i2")
    path = tmp_path / "recording"
    path.write_bytes(wav(numbers_in.tobytes(), channels=1, data_size=0))
    track = decode(str(path), str(tmp_path / "out"), "mix", allow_truncated=False).tracks[0]
    assert (np.fromfile(track.path, dtype="<i2") == numbers_in).all()

"""The bytes that requests carry, pinned: another byte would mean that all that was transcribed is paid for again.

Whoever changes them on purpose raises `prepare.VERSION`. Only arithmetic that is exact on every machine is pinned: what
resamplers and codecs make changes with their versions.
"""

from __future__ import annotations

import asyncio
import hashlib
import struct
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pipeline.audio.prepare import VERSION, Preparation
from pipeline.audio.probe import read_recording
from pipeline.config.settings import AudioSettings
from pipeline.exchange import Clip
from pipeline.model import Utterance
from pipeline.price import Price
from tests.audio.forms import RATE, chunk, wav

SECONDS = 12


def samples(channels: int, bits: int) -> bytes:
    """Whole numbers that any machine makes alike: a loud tooth, quieter from second to second, and pauses."""
    width, limit, values = bits // 8, 1 << (bits - 1), []
    for place in range(SECONDS * RATE):
        second = place // RATE
        for channel in range(channels):
            loud = 0 if second % 4 == 3 else limit // (2 + second + channel)
            values.append((place * (97 + 31 * channel) % 2_000 - 1_000) * loud // 1_000)
    return b"".join((value + (128 if bits == 8 else 0)).to_bytes(width, "little", signed=bits > 8) for value in values)


def body(clip: Clip) -> bytes:
    request = clip.request
    data = Path(request.path).read_bytes()
    first, length = request.span_bytes or (0, len(data))
    return request.prefix + data[first : first + length]


class Case(NamedTuple):
    settings: dict[str, Any]
    row: dict[str, Any]
    answered: tuple[str, ...]
    sent: tuple[str, ...]
    """Of each clip: content type, key, and the beginning of the hash of its bytes."""
    channels: int = 1
    bits: int = 16


CASES = {
    "as it is": Case({}, {}, (), ("audio/wav  40d436cbbc50947b",)),
    "24 bits as it is": Case({}, {}, (), ("audio/wav  42a83830ed169abb",), bits=24),
    "8 bits": Case({}, {}, (), ("audio/wav ch0:0+288000 995d8cd04dba9414",), bits=8),
    "mixed": Case({}, {}, (), ("audio/wav mix:0+288000 78399e8ce4254c6a",), channels=2),
    "split": Case(
        {"channels": "split"},
        {},
        (),
        ("audio/wav ch0:0+288000 25c37ed2b6a6592e", "audio/wav ch1:0+288000 5b26963f6abefeb8"),
        channels=2,
    ),
    "first channel of 24 bits": Case(
        {"channels": "first"}, {}, (), ("audio/wav ch0:0+288000 f1c7344da6ae8c4a",), channels=2, bits=24
    ),
    "a row's channel": Case({}, {"channel": 1}, (), ("audio/wav ch1:0+288000 5b26963f6abefeb8",), channels=2),
    "cut in pauses": Case(
        {"max_clip_s": 5},
        {},
        (),
        (
            "audio/wav ch0:0+83940 bb949ce77e33ec47",
            "audio/wav ch0:83940+87600 884e9ffd240e7ed0",
            "audio/wav ch0:171540+16800 ee1cdc935c02000b",
            "audio/wav ch0:188340+99660 37ef4affab850605",
        ),
    ),
    "a row's span behind silence": Case(
        {"lead_silence_s": 0.5},
        {"offset_s": 1.25, "duration_s": 2.5},
        (),
        ("audio/wav ch0:30000+60000 bbf305d2eba3ce48",),
    ),
    "around what was answered": Case(
        {"max_clip_s": 5},
        {},
        ("ch0:24000+48000", "0:72100+96000"),
        (
            "audio/wav ch0:0+24000 372c7e32110efd39",
            "audio/wav ch0:24000+48000 d8879713c6dca368",
            "audio/wav ch0:72000+100 6043c420a1d463d9",
            "audio/wav 0:72100+96000 93a119cdef37caf9",
            "audio/wav ch0:168100+82450 0b111f1ab34bc8b8",
            "audio/wav ch0:250550+37450 ac1df0e5ba63d0e8",
        ),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_bytes_sent_are_those_of_all_versions_before(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    path = tmp_path / "a.wav"
    data = samples(case.channels, case.bits)
    path.write_bytes(wav(data, channels=case.channels, bits=case.bits, before=chunk(b"LIST", b"INFO")))

    async def scenario() -> list[str]:
        preparation = Preparation(AudioSettings(decoders=1, **case.settings), Price(3), tmp_path / "spool")
        utterance = Utterance(id="a", audio=str(path), **case.row)
        try:
            prepared = await preparation.prepare(utterance, read_recording(str(path)), case.answered)
            return [
                f"{clip.request.content_type} {clip.key} {hashlib.sha256(body(clip)).hexdigest()[:16]}"
                for clip in prepared.clips
            ]
        finally:
            await preparation.close()

    assert asyncio.run(scenario()) == [*case.sent]
    assert VERSION == 1


def test_the_hash_of_a_recording_is_that_of_all_versions_before(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(struct.pack("<100h", *range(100))))
    assert read_recording(str(path)).audio_hash == hashlib.sha256(path.read_bytes()).hexdigest()[:32]
    assert read_recording(str(path)).prefix_hashes.hex() == "00000000000000f455ced57c3b8270ab77f25bad14d5c0ed"

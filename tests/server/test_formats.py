"""Which audio is taken and which is refused, and that exactly the samples that were sent are heard."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from pipeline.server.incoming import Opus
from pipeline.server.refusal import RefusalError
from tests.server.bodies import RATE, encoded, noise, texts, wav
from tests.server.conftest import Client

SAMPLES = noise("formats", 2.2)


@pytest.mark.parametrize("bits", [16, 24, 32])
def test_wav_of_each_depth_is_heard_by_its_upper_16_bits(client: Client, bits: int) -> None:
    wide = b"".join(bytes(bits // 8 - 2) + SAMPLES[at : at + 2] for at in range(0, len(SAMPLES), 2))
    assert client.texts(wav(wide, bits=bits), content_type="audio/wav") == texts(SAMPLES)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32"])
def test_wav_of_libsndfile_is_heard(client: Client, subtype: str) -> None:
    assert client.texts(encoded(SAMPLES, "WAV", subtype)) == texts(SAMPLES)


@pytest.mark.parametrize("subtype", ["FLOAT", "ALAW", "ULAW", "PCM_U8"])
def test_other_wav_is_refused(client: Client, subtype: str) -> None:
    text = client.refusal(encoded(SAMPLES, "WAV", subtype))
    assert text.startswith("error from server 1008: invalid WAV: unsupported")


@pytest.mark.parametrize("bits", [8, 12, 20, 64])
def test_other_depths_are_refused_also_where_libsndfile_takes_them(client: Client, bits: int) -> None:
    assert f"invalid WAV: unsupported {bits} bits per sample" in client.refusal(wav(SAMPLES, bits=bits))


def test_extensible_wav_is_refused_for_the_documentation_lists_format_1_only(client: Client) -> None:
    assert "WAVE_FORMAT_EXTENSIBLE" in client.refusal(encoded(SAMPLES, "WAVEX", "PCM_16"))


@pytest.mark.parametrize("body", [b"", b"RIFF", b"ID3" + bytes(60), wav(SAMPLES)[:30], b"RIFX" + wav(SAMPLES)[4:]])
def test_what_is_no_wav_is_refused(client: Client, body: bytes) -> None:
    assert client.refusal(body).startswith("error from server 1008: invalid WAV")


@pytest.mark.parametrize("declared", [0, 0xFFFFFFFF, len(SAMPLES) + 1000])
def test_wav_that_declares_another_size_is_heard_to_the_end_of_the_body(client: Client, declared: int) -> None:
    assert client.texts(wav(SAMPLES, declared=declared)) == texts(SAMPLES)


def test_wav_with_chunks_around_the_data_is_heard(client: Client) -> None:
    plain = wav(SAMPLES)
    odd = b"LIST\x03\x00\x00\x00abc\x00"
    assert client.texts(plain[:36] + odd + plain[36:] + odd) == texts(SAMPLES)


def test_stereo_is_mixed_down(client: Client) -> None:
    left, right = (np.frombuffer(noise(side), dtype="<i2") for side in ("left", "right"))
    mixed = ((left.astype(int) + right) // 2).astype("<i2").tobytes()
    stereo = np.stack([left, right], axis=1)
    assert client.texts(wav(stereo.tobytes(), channels=2)) == texts(mixed)
    assert client.texts(encoded(stereo.tobytes(), "WAV", "PCM_24", channels=2)) == texts(mixed)


@pytest.mark.parametrize(("input_format", "body"), [("wav", wav(b"")), ("pcm", b""), ("ulaw_8000", b"")])
def test_audio_without_a_sample_is_an_answer_without_words(client: Client, input_format: str, body: bytes) -> None:
    assert client.texts(body, input_format=input_format) == []


def test_more_channels_than_libsndfile_takes_are_refused(client: Client) -> None:
    body = wav(bytes(3 * 2000 * 2), bits=24, channels=2000)
    assert client.refusal(body).startswith("error from server 1008: invalid audio")


@pytest.mark.parametrize(
    ("input_format", "rate"),
    [
        ("pcm", 24000),
        ("pcm_8000", 8000),
        ("pcm_16000", 16000),
        ("pcm_22050", 22050),
        ("pcm_24000", 24000),
        ("pcm_44100", 44100),
        ("pcm_48000", 48000),
    ],
)
def test_pcm_of_each_rate_is_heard(client: Client, input_format: str, rate: int) -> None:
    stream = client.messages(SAMPLES, input_format=input_format, json_config={"delay_in_frames": 10})
    assert [m["text"] for m in stream if m["type"] == "text"] == texts(SAMPLES, rate)
    last = [m["stop_s"] for m in stream if m["type"] == "end_text"][-1]
    assert last == pytest.approx(len(SAMPLES) / 2 / rate + 0.8, abs=0.001)


def test_pcm_by_content_type_is_24_khz(client: Client) -> None:
    assert client.texts(SAMPLES, content_type="audio/pcm") == texts(SAMPLES, 24000)


@pytest.mark.parametrize(
    ("input_format", "subtype"), [("ulaw_8000", "ULAW"), ("mulaw_8000", "ULAW"), ("alaw_8000", "ALAW")]
)
def test_companded_audio_is_expanded_as_libsndfile_does(client: Client, input_format: str, subtype: str) -> None:
    body = bytes(range(256)) * 40
    expected, _ = soundfile.read(
        io.BytesIO(body), dtype="int16", format="RAW", subtype=subtype, channels=1, samplerate=8000
    )
    assert client.texts(body, input_format=input_format) == texts(expected.tobytes(), 8000)


@pytest.mark.parametrize("content_type", ["audio/ogg", "audio/opus", "AUDIO/OGG"])
def test_ogg_opus_is_decoded(client: Client, content_type: str) -> None:
    body = encoded(SAMPLES, "OGG", "OPUS")
    decoded, rate = soundfile.read(io.BytesIO(body), dtype="int16")
    assert client.texts(body, content_type=content_type) == texts(decoded.tobytes(), rate)


def test_a_content_type_with_a_parameter_is_refused(client: Client) -> None:
    text = client.refusal(encoded(SAMPLES, "OGG", "OPUS"), content_type="audio/ogg;codecs=opus")
    assert text == "unsupported content type for SST 'audio/ogg;codecs=opus'"


def test_ogg_without_opus_is_refused(client: Client) -> None:
    text = client.refusal(encoded(SAMPLES, "OGG", "VORBIS"), content_type="audio/ogg")
    assert text.startswith("error from server 1008: invalid audio")


def test_opus_that_is_too_long_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """300 KB of silence may be gigabytes of samples."""
    monkeypatch.setattr(soundfile.SoundFile, "buffer_read", None)
    opus = Opus(2.1)
    opus.feed(encoded(SAMPLES, "OGG", "OPUS"))
    for at_end in (False, True):
        with pytest.raises(RefusalError, match=r"audio of 2\.2 s is longer"):
            opus.rest(at_end=at_end)


def test_damaged_opus_is_refused(client: Client) -> None:
    body = encoded(SAMPLES, "OGG", "OPUS")[:60]
    assert client.refusal(body, input_format="opus").startswith("error from server 1008: invalid audio")


def test_input_format_overrides_the_content_type(client: Client) -> None:
    body = wav(SAMPLES)
    assert client.texts(body, input_format="wav", content_type="audio/mpeg") == texts(SAMPLES)
    assert client.texts(SAMPLES, input_format="pcm_16000", content_type="audio/wav") == texts(SAMPLES, RATE)


def test_unknown_input_format_is_refused(client: Client) -> None:
    assert "unsupported input_format 'mp3'" in client.refusal(wav(SAMPLES), input_format="mp3")

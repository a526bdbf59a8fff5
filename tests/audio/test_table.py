"""Every form of recording that an archive may hold gives the right words, or an error that names what is wrong."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline import errors
from pipeline.audio.decode import decode
from pipeline.audio.probe import probe
from tests.audio.forms import (
    SENTENCE,
    Maker,
    Speech,
    at_rate,
    chunk,
    encoded,
    numbers,
    plain,
    sentence,
    wav,
    written,
)
from tests.batch import batch, errors_of, table_of
from tests.servers import start_server

STREAMED = 0xFFFFFFFF
PLAYLIST = b"#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:9,\nhttp://127.0.0.1:1/a.ts\n"


def float_with_faults(speech: Speech) -> bytes:
    broken = (speech * 1.0).copy()
    broken[1000:1004] = [np.nan, np.inf, -np.inf, 1e30]
    return wav(numbers(broken, 32, real=True), tag=3, bits=32)


def twice_in_one(speech: Speech) -> bytes:
    """Two MP3 streams end to end, of other rate and channels, each with its tags."""
    half = len(speech) // 2 - 1_200
    first = encoded("libmp3lame", "mp3", rate=44_100, layout="stereo")(speech[:half])
    return first + b"TAG".ljust(128, b" ") + encoded("libmp3lame", "mp3", rate=24_000)(speech[half:])


def video(speech: Speech) -> bytes:
    return film(speech, with_audio=True)


def film(speech: Speech, *, with_audio: bool) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        pictures = output.add_stream("mpeg4", rate=5)
        pictures.width = pictures.height = 64
        pictures.pix_fmt = "yuv420p"
        sound = output.add_stream("aac", rate=48_000, layout="stereo") if with_audio else None
        for number in range(15):
            picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), number * 10, dtype=np.uint8), format="rgb24")
            picture.pts = number
            output.mux(pictures.encode(picture))
        output.mux(pictures.encode(None))
        if sound is not None:
            samples = np.stack([at_rate(speech, 48_000)] * 2)
            for place in range(0, samples.shape[1], 4_096):
                block = np.ascontiguousarray(samples[:, place : place + 4_096])
                frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
                frame.sample_rate, frame.pts = 48_000, place
                output.mux(sound.encode(frame))
            output.mux(sound.encode(None))
    return file.getvalue()


def silent_film(speech: Speech) -> bytes:
    return film(speech, with_audio=False)


def turned_round(speech: Speech) -> bytes:
    return wav(numbers(np.stack([speech, -speech], axis=1).ravel()), channels=2)


def no_pad_before_data(speech: Speech) -> bytes:
    return wav(numbers(speech), before=chunk(b"LIST", b"INFOabc", pad=False))


def missing_pad_after(speech: Speech) -> bytes:
    return wav(numbers(speech, 8) + b"\x80" * (1 - len(speech) % 2), bits=8, after=chunk(b"LIST", b"INFO"))


def encrypted(speech: Speech) -> bytes:
    keys = {"encryption_key": "76a6c65c5ea762046bd749a2e632ccbb", "encryption_kid": "a7e61c373e219033c21091fa607bf3b8"}
    return encoded("aac", "mp4", options={"encryption_scheme": "cenc-aes-ctr"} | keys)(speech)


def tagged(speech: Speech) -> bytes:
    title = b"TIT2" + bytes([0, 0, 0, 6, 0, 0, 0]) + b"title"
    return b"ID3\x03\0\0\0\0\0" + bytes([len(title)]) + title + encoded("libmp3lame", "mp3")(speech)


def cut(maker: Maker, share: float) -> Maker:
    def make(speech: Speech) -> bytes:
        whole = maker(speech)
        return whole[: int(len(whole) * share)]

    return make


def big(speech: Speech) -> bytes:
    return wav(numbers(speech), name=b"RF64", data_size=STREAMED, riff_size=STREAMED, ds64=len(speech) * 2)


def no_channels(speech: Speech) -> bytes:
    return wav(numbers(speech), channels=0)


SURROUND = {
    "layout": "5.1",
    "channels": lambda one: [0 * one, 0 * one, one, 0 * one, 0 * one, 0 * one],  # speech in the centre
}

WORDS: dict[str, Maker] = {
    "wav 16 bit": plain(),
    "wav 8 kHz": plain(rate=8_000),
    "wav 11.025 kHz": plain(rate=11_025),
    "wav 44.1 kHz stereo": plain(rate=44_100, channels=2),
    "wav 96 kHz": plain(rate=96_000),
    "wav 192 kHz 24 bit": plain(rate=192_000, bits=24),
    "wav 8 bit": plain(bits=8),
    "wav 24 bit": plain(bits=24),
    "wav 32 bit": plain(bits=32),
    "wav float": plain(tag=3, bits=32),
    "wav double": plain(tag=3, bits=64),
    "wav float with nan and infinities": float_with_faults,
    "wav a-law 8 kHz": written("WAV", "ALAW", 8_000),
    "wav mu-law 8 kHz stereo": written("WAV", "ULAW", 8_000, 2),
    "wav ms adpcm": written("WAV", "MS_ADPCM"),
    "wav ima adpcm": written("WAV", "IMA_ADPCM"),
    "wav gsm": written("WAV", "GSM610", 8_000),
    "wav mp3 inside": encoded("libmp3lame", "wav"),
    "wav six channels": plain(channels=6),
    "wav anti-phase": turned_round,
    "wav extensible 16": plain(extensible=16),
    "wav extensible 24 in 32": plain(bits=32, extensible=24),
    "wav extensible float": plain(tag=3, bits=32, extensible=32),
    "rifx 16": plain(name=b"RIFX", order=">"),
    "rifx 24": plain(name=b"RIFX", order=">", bits=24),
    "rf64": lambda speech: wav(
        numbers(speech), name=b"RF64", data_size=STREAMED, riff_size=STREAMED, ds64=len(speech) * 2
    ),
    "bw64 unfinished": plain(name=b"BW64", data_size=STREAMED, riff_size=STREAMED, ds64=0),
    "wav streamed, size 0": plain(data_size=0, riff_size=0),
    "wav streamed, size all ones": plain(data_size=STREAMED, riff_size=STREAMED),
    "wav declared 268,435 s at 8 kHz": plain(rate=8_000, data_size=0x7FFFFFFF, riff_size=0x7FFFFFFF),
    "wav size from before the recording went on": plain(data_size=9_600, riff_size=9_636),
    "wav odd chunk, padded": plain(before=chunk(b"LIST", b"INFOabc")),
    "wav odd chunk, no pad": no_pad_before_data,
    "wav junk first": plain(before=chunk(b"JUNK", bytes(28)) + chunk(b"bext", bytes(602))),
    "wav missing pad after data": missing_pad_after,
    "w64": written("W64", "PCM_16"),
    "aiff": written("AIFF", "PCM_16"),
    "aiff 24": written("AIFF", "PCM_24", 48_000, 2),
    "aiff-c little-endian": written("AIFF", "PCM_16", endian="LITTLE"),
    "au": written("AU", "PCM_16"),
    "au mu-law": written("AU", "ULAW", 8_000),
    "caf": written("CAF", "PCM_16"),
    "caf alac": written("CAF", "ALAC_16"),
    "nist sphere": written("NIST", "PCM_16", 16_000),
    "flac": written("FLAC", "PCM_16"),
    "flac 24 stereo 48 kHz": written("FLAC", "PCM_24", 48_000, 2),
    "mp3": encoded("libmp3lame", "mp3"),
    "mp3 stereo 44.1": encoded("libmp3lame", "mp3", rate=44_100, layout="stereo"),
    "mp3 without its frame count": encoded("libmp3lame", "mp3", options={"write_xing": "0"}),
    "mp3 with tags": tagged,
    "mp3 joined, other rate and channels": twice_in_one,
    "mp2": encoded("mp2", "mp2", rate=44_100),
    "m4a": encoded("aac", "ipod", rate=44_100),
    "m4a index first": encoded("aac", "ipod", options={"movflags": "faststart"}),
    "mp4 fragmented": encoded("aac", "mp4", options={"movflags": "frag_keyframe+empty_moov"}),
    "m4a alac": encoded("alac", "ipod"),
    "m4a 5.1": encoded("aac", "ipod", rate=48_000, **SURROUND),
    "mp4 film": video,
    "aac adts": encoded("aac", "adts"),
    "ac3": encoded("ac3", "ac3", rate=48_000),
    "webm opus": encoded("libopus", "webm", rate=48_000),
    "mka vorbis": encoded("vorbis", "matroska", rate=44_100, layout="stereo", codec_options={"strict": "experimental"}),
    "ogg opus stereo": encoded("libopus", "ogg", rate=48_000, layout="stereo"),
    "ogg vorbis": written("OGG", "VORBIS"),
    "ogg flac": encoded("flac", "ogg"),
    "wma": encoded("wmav2", "asf", rate=44_100, bit_rate=96_000),
    "amr": encoded("libopencore_amrnb", "amr", rate=8_000, bit_rate=12_200),
    "3gp amr": encoded("libopencore_amrnb", "3gp", rate=8_000, bit_rate=12_200),
    "mpeg-ts": encoded("aac", "mpegts"),
    "avi": encoded("libmp3lame", "avi", rate=44_100),
    "wavpack": encoded("wavpack", "wv"),
}

REFUSED: dict[str, tuple[Maker, type[errors.ItemError], str]] = {
    "empty": (lambda _: b"", errors.AudioEmpty, "empty"),
    "text": (lambda _: b"this is no audio\n" * 500, errors.AudioUnreadable, "no audio"),
    "playlist": (
        lambda _: b"#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:9,\nhttp://127.0.0.1:1/a.ts\n",
        errors.AudioUnreadable,
        "no audio",
    ),
    "zeros": (lambda _: bytes(20_000), errors.AudioUnreadable, "no audio"),
    "wav without samples": (lambda _: wav(b""), errors.AudioEmpty, "no samples"),
    "wav without data": (lambda s: plain()(s)[:36], errors.AudioEmpty, "no data chunk"),
    "wav broken off in the header": (lambda s: plain()(s)[:30], errors.AudioUnreadable, "truncated or damaged"),
    "wav without channels": (no_channels, errors.AudioUnreadable, "0 channels"),
    "film without sound": (silent_film, errors.AudioUnsupported, "no audio track"),
    "encrypted": (encrypted, errors.AudioUnsupported, "encrypted"),
    "wav cut": (cut(plain(), 0.5), errors.AudioTruncated, "decodes for 1.4 s"),
    "flac cut": (cut(written("FLAC", "PCM_16"), 0.5), errors.AudioTruncated, "although its header says 2.8 s"),
    "mp3 cut": (cut(encoded("libmp3lame", "mp3"), 0.5), errors.AudioTruncated, "although its header says 2.8 s"),
    "m4a cut": (cut(encoded("aac", "ipod"), 0.5), errors.AudioUnreadable, "index"),
    "m4a cut, index first": (
        cut(encoded("aac", "ipod", options={"movflags": "faststart"}), 0.5),
        errors.AudioTruncated,
        "allow_truncated",
    ),
}


@pytest.mark.slow
def test_every_form_gives_its_words_or_its_error(tmp_path: Path) -> None:
    """One run of the command over all of them, with the real recognizer behind the local server."""
    folder, out = tmp_path / "archive", tmp_path / "out"
    folder.mkdir()
    for name, maker in (WORDS | {name: maker for name, (maker, _, _) in REFUSED.items()}).items():
        (folder / f"{name}.wav").write_bytes(maker(sentence()))  # its name says nothing
    with start_server(recognizer="pocketsphinx") as server:
        assert batch("run", folder, "--out", out, server=server).exit == 3
        assert server.stats()["requests"] == len(WORDS), "a refusal cost something"
    rows = {row["id"]: row for row in table_of(out).to_pylist()}
    assert {id_: row["text"] for id_, row in rows.items()} == {f"{name}.wav": SENTENCE for name in WORDS}
    assert {id_: row["issues"] for id_, row in rows.items() if row["issues"]} == {}
    for row in rows.values():
        assert row["duration_s"] == pytest.approx(len(sentence()) / 24_000, abs=0.15), row["id"]
        # where the header counts nothing it is a guess by bit rate
        assert probe(row["audio"]).duration_s == pytest.approx(row["duration_s"], rel=0.4), row["id"]
    assert errors_of(out) == {f"{name}.wav": kind.__name__ for name, (_, kind, _) in REFUSED.items()}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_named(name: str, tmp_path: Path) -> None:
    maker, kind, text = REFUSED[name]
    path = tmp_path / "recording"
    path.write_bytes(maker(sentence()))
    with pytest.raises(kind, match=text) as caught:
        decode(str(path), str(tmp_path / "out"), "mix", allow_truncated=False)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [path]


def test_the_table_is_long_enough() -> None:
    assert len(WORDS) + len(REFUSED) >= 40

"""Decodes everything but plain WAV and FLAC by PyAV, packet by packet, and goes on after damage where allowed."""

from __future__ import annotations

from collections.abc import Iterator
from io import FileIO

import av
import av.error
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet

from pipeline.audio.channels import Block, Samples, cleaned
from pipeline.audio.containers import declared_s, open_container, refuse_encrypted, translated
from pipeline.audio.timestamps import Timestamps, format_name, header_end_s
from pipeline.audio.tracks import DAMAGED, EDGE_S, DecodeProgress
from pipeline.audio.wav import check_shape

_DEFAULT_PACKET_S = 0.03
_MAX_PLANES = 7
"""Of a planar frame: with 8 or more PyAV reads past the end of the list of planes, so they are packed first."""
_MAX_SILENCE_S = 60.0
"""In place of missing audio."""
_HOLE_BYTES = 4_096
"""Bytes skipped between two packets that mean damage; the containers' own headers there are smaller."""
_CONTIGUOUS = ("flv", "matroska")
"""Formats whose packets follow each other, and whose damage FFmpeg skips without an error."""
_TAGS = (b"ID3", b"TAG", b"APETAGEX")
"""Metadata between the packets, where MP3 files were concatenated: no audio is missing."""
_MAX_DEMUX_ERRORS = 50
_SCALES = {"u8": 2.0**7, "s16": 2.0**15, "s32": 2.0**31, "s64": 2.0**63}


def packet_blocks(path: str, file: FileIO, size_bytes: int, progress: DecodeProgress) -> Iterator[Block]:
    """The samples of an open file of any format that PyAV reads, block by block.

    Raises AudioUnreadable, AudioUnsupported, AudioUnavailable, and what `progress` raises where audio is missing.
    """
    with open_container(path, file) as (container, stream), translated(path):
        declared = declared_s(container, stream, file, size_bytes)
        context = stream.codec_context
        context.thread_count = 1
        if context.name == "flac":
            # FLAC's checksums show each wrong bit
            context.options = {"err_detect": "crccheck+explode"}
        timestamps, holes = Timestamps(container, header_end_s(container, stream)), _HoleDetector(container)
        queue = _FrameQueue()
        missing_s, is_damaged = 0.0, False
        for packet, frames in _decoded(container, stream):
            holes.add(packet)
            if frames is None:
                progress.is_damaged = is_damaged = True
                missing_s += _length_s(packet)
                continue
            for frame in frames:
                if not frame.samples:
                    continue
                ignored_s = timestamps.ignored_s
                gap_s = timestamps.gap_s(frame.time, frame.samples / frame.sample_rate)
                if (gap_s and timestamps.count_samples) or (
                    holes.is_near and (gap_s or timestamps.ignored_s > ignored_s)
                ):
                    is_damaged = True
                if is_damaged and (progress.seconds > EDGE_S or max(missing_s, gap_s) > EDGE_S):
                    progress.truncate(f"{DAMAGED}, and {gap_s or missing_s:.2f} s are missing before more follows")
                    if not gap_s:
                        timestamps.add(gap_s := min(missing_s, _MAX_SILENCE_S))
                elif timestamps.count_samples:
                    gap_s = 0.0
                if gap_s:
                    progress.has_gaps |= not timestamps.count_samples
                    yield from queue.flush()
                    for silence in _silence(min(gap_s, _MAX_SILENCE_S) if timestamps.count_samples else gap_s, frame):
                        progress.add(silence.duration_s)
                        yield silence
                missing_s, is_damaged = 0.0, False
                progress.add(frame.samples / frame.sample_rate)
                yield from queue.add(frame)
        yield from queue.flush()
        if missing_s > EDGE_S:
            progress.truncate(DAMAGED)
        progress.finish(declared and declared - timestamps.ignored_s, size_bytes)


class _HoleDetector:
    """Whether bytes were skipped within the last two packets, in a file with a single stream."""

    def __init__(self, container: InputContainer) -> None:
        self._left = 0
        """Packets after a hole that still count as near it: decoders are one packet behind."""
        self._end: int | None = None
        self._is_active = format_name(container) in _CONTIGUOUS and len(container.streams) == 1

    @property
    def is_near(self) -> bool:
        return self._left > 0

    def add(self, packet: Packet[AudioStream] | None) -> None:
        if not self._is_active or packet is None or packet.pos is None:
            return
        self._left = max(0, self._left - 1)
        if self._end is not None and packet.pos - self._end > _HOLE_BYTES:
            self._left = 2
        self._end = packet.pos + packet.size


class _FrameQueue:
    """Collects frames, of some 20 ms each, into blocks of a second."""

    def __init__(self) -> None:
        self._fifo = av.AudioFifo()
        self._packer: av.AudioResampler | None = None
        self._shape: tuple[str, str, int] | None = None
        self._rate = 0

    def add(self, frame: AudioFrame) -> Iterator[Block]:
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if shape != self._shape:
            yield from self.flush()
            self._begin(shape, frame)
        frame.pts = None  # the queue counts samples; timestamps of damaged files would make it fail
        for piece in self._packer.resample(frame) if self._packer else (frame,):
            self._fifo.write(piece)
        while self._fifo.samples >= self._rate and (full := self._fifo.read(self._rate)) is not None:
            yield Block(self._rate, _floats(full))

    def flush(self) -> Iterator[Block]:
        """The rest of the frames of one shape."""
        if self._shape is None:
            return
        for piece in self._packer.resample(None) if self._packer else ():
            self._fifo.write(piece)
        while (last := self._fifo.read(self._rate, partial=True)) is not None:
            yield Block(self._rate, _floats(last))
        self._shape = None

    def _begin(self, shape: tuple[str, str, int], frame: AudioFrame) -> None:
        channels = frame.layout.nb_channels
        check_shape(channels, frame.sample_rate)
        must_pack = frame.format.is_planar and channels > _MAX_PLANES
        self._packer = av.AudioResampler("flt", frame.layout, frame.sample_rate) if must_pack else None
        self._shape, self._rate, self._fifo = shape, frame.sample_rate, av.AudioFifo()


def _silence(seconds: float, like: AudioFrame) -> Iterator[Block]:
    """In place of missing audio, so that all later times stay right."""
    left = round(seconds * like.sample_rate)
    while left > 0:
        samples = min(left, like.sample_rate)
        yield Block(like.sample_rate, np.zeros((like.layout.nb_channels, samples), dtype=np.float32))
        left -= samples


def _decoded(
    container: InputContainer, stream: AudioStream
) -> Iterator[tuple[Packet[AudioStream] | None, list[AudioFrame] | None]]:
    """Packets with their frames; None for the frames of a damaged packet."""
    errors = 0
    while errors < _MAX_DEMUX_ERRORS:
        try:
            for packet in container.demux(stream):
                try:
                    frames = stream.decode(packet)
                except av.error.EOFError:
                    return
                except av.error.FFmpegError:
                    refuse_encrypted(packet)
                    if not bytes(packet).startswith(_TAGS):
                        yield packet, None
                    continue
                errors = 0
                yield packet, frames
            return
        except av.error.EOFError:
            break
        except (av.error.FFmpegError, IndexError):  # the latter for a track that shows up in mid-file
            errors += 1
            yield None, None
    try:
        yield None, stream.codec_context.decode(None)
    except av.error.FFmpegError:
        return


def _length_s(packet: Packet[AudioStream] | None) -> float:
    if packet is None or not packet.duration or packet.time_base is None:
        return _DEFAULT_PACKET_S
    return float(packet.duration * packet.time_base)


def _floats(frame: AudioFrame) -> Samples:
    """Shape (channels, samples), -1 to 1."""
    values = frame.to_ndarray()
    if frame.format.is_packed:
        values = values.reshape(-1, frame.layout.nb_channels).T
    name = frame.format.name.removesuffix("p")
    if name in ("flt", "dbl"):
        return cleaned(values.astype(np.float32, copy=False))
    samples: Samples = np.multiply(values, np.float32(1 / _SCALES[name]), dtype=np.float32)
    return samples - np.float32(1.0) if name == "u8" else samples

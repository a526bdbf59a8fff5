"""Everything that is not plain WAV decoded by PyAV, packet by packet, on past what is damaged where that is allowed."""

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

from pipeline.audio.blocks import Block, Samples, cleaned
from pipeline.audio.clock import Clock, form, header_end_s
from pipeline.audio.container import open_container, refuse_locked, translated
from pipeline.audio.heard import EDGE_S, Heard
from pipeline.audio.lengths import declared_s
from pipeline.audio.shapes import check_shape

_GUESSED_PACKET_S = 0.03
_MOST_PLANES = 7
"""Of a frame whose channels lie apart: from 8 on PyAV reads past the end of their list, so they are packed first."""
_LONGEST_SILENCE_S = 60.0
"""In place of what is lost."""
_HOLE_BYTES = 4_096
"""Passed over between two packets; what stands there in a sound file is smaller."""
_IN_ORDER = ("flv", "matroska")
"""Forms in which packet follows packet, and whose damage is passed over without a word."""
_TAGS = (b"ID3", b"TAG", b"APETAGEX")
"""Song titles among the packets, where MP3 files were joined end to end: no audio, and nothing lost."""
_DAMAGED = "its data is damaged"
_DEMUX_FAILURES = 50
_SCALES = {"u8": 2.0**7, "s16": 2.0**15, "s32": 2.0**31, "s64": 2.0**63}


def packet_blocks(path: str, file: FileIO, size_bytes: int, heard: Heard) -> Iterator[Block]:
    """The samples of an open file of any form that PyAV knows, block by block.

    Raises AudioUnreadable, AudioUnsupported, AudioUnavailable, and what `Heard` raises where the audio breaks.
    """
    with open_container(path, file) as (container, stream), translated(path):
        declared = declared_s(container, stream, file)
        context = stream.codec_context
        context.thread_count = 1
        if context.name == "flac":
            # FLAC is the one form that can tell a wrong bit from music
            context.options = {"err_detect": "crccheck+explode"}
        clock, holes = Clock(container, header_end_s(container, stream)), _Holes(container)
        queue = _Queue()
        lost_s, reason = 0.0, ""
        for packet, frames, fault in _decoded(container, stream):
            holes.look(packet)
            if fault:
                heard.note(fault)
                reason = reason or fault
                lost_s += _length_s(packet)
                continue
            for frame in frames:
                if not frame.samples:
                    continue
                not_followed_s = clock.disbelieved_s
                jump_s = clock.jump_s(frame.time, frame.samples / frame.sample_rate)
                if (jump_s and clock.counts) or (holes.left and (jump_s or clock.disbelieved_s > not_followed_s)):
                    reason = reason or _DAMAGED
                if reason and (heard.seconds > EDGE_S or max(lost_s, jump_s) > EDGE_S):
                    heard.broke(f"{reason}, and {jump_s or lost_s:.2f} s are lost before more follows")
                    if not jump_s:
                        clock.add(jump_s := min(lost_s, _LONGEST_SILENCE_S))
                elif clock.counts:
                    jump_s = 0.0
                if jump_s:
                    heard.has_jumps |= not clock.counts
                    yield from queue.rest()
                    for silence in _silence(min(jump_s, _LONGEST_SILENCE_S) if clock.counts else jump_s, frame):
                        heard.add(silence.samples.shape[1] / silence.rate)
                        yield silence
                lost_s, reason = 0.0, ""
                heard.add(frame.samples / frame.sample_rate)
                yield from queue.add(frame)
        yield from queue.rest()
        if lost_s > EDGE_S:
            heard.broke(reason)
        heard.ended(declared and declared - clock.disbelieved_s, size_bytes)


class _Holes:
    """Whether bytes were passed over a packet or two ago, where only audio is in the file."""

    def __init__(self, container: InputContainer) -> None:
        self.left = 0
        """Packets for which that still counts: decoders are one behind."""
        self._end: int | None = None
        self._looks = form(container) in _IN_ORDER and len(container.streams) == 1

    def look(self, packet: Packet[AudioStream] | None) -> None:
        if not self._looks or packet is None or packet.pos is None:
            return
        self.left = max(0, self.left - 1)
        if self._end is not None and packet.pos - self._end > _HOLE_BYTES:
            self.left = 2
        self._end = packet.pos + packet.size


class _Queue:
    """Collects frames, of some 20 ms each, into blocks of a second."""

    def __init__(self) -> None:
        self._fifo = av.AudioFifo()
        self._packer: av.AudioResampler | None = None
        self._shape: tuple[str, str, int] | None = None
        self._rate = 0

    def add(self, frame: AudioFrame) -> Iterator[Block]:
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if shape != self._shape:
            yield from self.rest()
            self._begin(shape, frame)
        frame.pts = None  # the queue counts samples; clocks of broken files go astray
        for piece in self._packer.resample(frame) if self._packer else (frame,):
            self._fifo.write(piece)
        while self._fifo.samples >= self._rate and (full := self._fifo.read(self._rate)) is not None:
            yield Block(self._rate, _floats(full))

    def rest(self) -> Iterator[Block]:
        """Ends the run of frames that are alike."""
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
        many = frame.format.is_planar and channels > _MOST_PLANES
        self._packer = av.AudioResampler("flt", frame.layout, frame.sample_rate) if many else None
        self._shape, self._rate, self._fifo = shape, frame.sample_rate, av.AudioFifo()


def _silence(seconds: float, like: AudioFrame) -> Iterator[Block]:
    """In place of what was lost, so that all times after it stay right."""
    left = round(seconds * like.sample_rate)
    while left > 0:
        samples = min(left, like.sample_rate)
        yield Block(like.sample_rate, np.zeros((like.layout.nb_channels, samples), dtype=np.float32))
        left -= samples


def _decoded(
    container: InputContainer, stream: AudioStream
) -> Iterator[tuple[Packet[AudioStream] | None, list[AudioFrame], str | None]]:
    """Packets with their frames, or with what is wrong with them."""
    failures = 0
    while failures < _DEMUX_FAILURES:
        try:
            for packet in container.demux(stream):
                try:
                    frames = stream.decode(packet)
                except av.error.EOFError:
                    return
                except av.error.FFmpegError:
                    refuse_locked(packet)
                    # the library's own words name its parts, not the file's
                    if not bytes(packet).startswith(_TAGS):
                        yield packet, [], _DAMAGED
                    continue
                failures = 0
                yield packet, frames, None
            return
        except av.error.EOFError:
            break
        except (av.error.FFmpegError, IndexError):  # the latter for a track that shows up in mid-file
            failures += 1
            yield None, [], _DAMAGED
    try:
        yield None, stream.codec_context.decode(None), None
    except av.error.FFmpegError:
        return


def _length_s(packet: Packet[AudioStream] | None) -> float:
    if packet is None or not packet.duration or packet.time_base is None:
        return _GUESSED_PACKET_S
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

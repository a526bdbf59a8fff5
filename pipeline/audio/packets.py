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

from pipeline.audio.blocks import Block, Samples, check_shape, cleaned
from pipeline.audio.container import open_container, translated, words
from pipeline.audio.heard import EDGE_S, Heard
from pipeline.audio.lengths import declared_s

_GUESSED_PACKET_S = 0.03
_LONGEST_GAP_S = 10.0
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
        queue = _Queue()
        lost_s, reason = 0.0, ""
        for packet, frames, fault in _decoded(container, stream):
            if fault:
                heard.note(fault)
                reason = reason or fault
                lost_s += _length_s(packet)
                continue
            for frame in frames:
                if not frame.samples:
                    continue
                if reason and (heard.seconds > EDGE_S or lost_s > EDGE_S):
                    heard.broke(f"{reason} (more audio follows)")
                    yield from queue.rest()
                    yield queue.silence(min(lost_s, _LONGEST_GAP_S), frame)
                lost_s, reason = 0.0, ""
                heard.seconds += frame.samples / frame.sample_rate
                yield from queue.add(frame)
        yield from queue.rest()
        if lost_s > EDGE_S:
            heard.broke(reason)
        heard.ended(declared, size_bytes)


class _Queue:
    """Collects frames, of some 20 ms each, into blocks of a second."""

    def __init__(self) -> None:
        self._fifo = av.AudioFifo()
        self._shape: tuple[str, str, int] | None = None
        self._rate = 0

    def add(self, frame: AudioFrame) -> Iterator[Block]:
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if shape != self._shape:
            yield from self.rest()
            check_shape(frame.layout.nb_channels, frame.sample_rate)
            self._shape, self._rate, self._fifo = shape, frame.sample_rate, av.AudioFifo()
        frame.pts = None  # the queue counts samples; clocks of broken files go astray
        self._fifo.write(frame)
        while (full := self._fifo.read(self._rate)) is not None:
            yield Block(self._rate, _floats(full))

    def rest(self) -> Iterator[Block]:
        if self._shape and (last := self._fifo.read(0, partial=True)) is not None:
            yield Block(self._rate, _floats(last))

    def silence(self, seconds: float, like: AudioFrame) -> Block:
        """In place of what was lost, so that all times after it stay right."""
        return Block(
            like.sample_rate,
            np.zeros((like.layout.nb_channels, round(seconds * like.sample_rate)), dtype=np.float32),
        )


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
                except av.error.FFmpegError as error:
                    yield packet, [], words(error)
                    continue
                failures = 0
                yield packet, frames, None
            return
        except av.error.EOFError:
            break
        except av.error.FFmpegError as error:
            failures += 1
            yield None, [], words(error)
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

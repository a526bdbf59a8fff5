"""A recording of any form to tracks the service's way. Blocking, for a worker process; a second of it is in memory.

decode(path, target, "mix", allow_truncated=False) writes target.0.pcm
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import FileIO

import msgspec

from pipeline.audio.blocks import Block
from pipeline.audio.decoded import ON_CLOCK, Bounds, Channels, Decoded
from pipeline.audio.flac import MAGIC, flac_blocks
from pipeline.audio.heard import Heard
from pipeline.audio.pcm import wav_blocks
from pipeline.audio.tracks import Room
from pipeline.audio.wav import WavFile, is_wav, read_wav
from pipeline.audio.writers import EachChannel, OneChannel, Writer
from pipeline.errors import AudioEmpty, AudioUnavailable
from pipeline.model import FileVersion
from pipeline.source.local import fault, file_version, open_recording, same_file

UNBOUNDED = Bounds()


def decode(
    path: str,
    target: str,
    channels: Channels,
    *,
    allow_truncated: bool,
    looked_at: FileVersion | None = None,
    bounds: Bounds = UNBOUNDED,
) -> Decoded:
    """Decodes the recording to `{target}.{channel}.pcm`, a file for each track; on an error none is left.

    `looked_at` is what the file was when it was hashed: a transcript must not answer to other bytes. Raises a subclass
    of ItemError, AudioUnavailable, or OutputError where the tracks cannot be written. What goes beyond `bounds` ends as
    soon as it does: RecordingTooLong, or OutOfRoom for bytes.
    """
    heard = Heard(allow_truncated=allow_truncated, longest_s=bounds.longest_s)
    room = Room(bounds.most_bytes)
    writer: Writer = EachChannel(target, room) if channels == "split" else OneChannel(target, channels, room)
    try:
        with open_recording(path) as file:
            try:
                for rate, samples in _blocks(path, file, heard):
                    writer.add(rate, samples)
            finally:
                # also where it seemed broken: what was read may be half of the old and half of the new
                if looked_at is not None and not _is_still(path, file, looked_at):
                    raise AudioUnavailable("the file changed after it was looked at; the next run does it anew")
        tracks = writer.finish()
        if heard.has_jumps:
            tracks = tuple(msgspec.structs.replace(track, name=track.name + ON_CLOCK) for track in tracks)
    except BaseException:
        writer.remove()
        raise
    flags = ("truncated",) if heard.truncated else ()
    return Decoded(tracks=tracks, duration_s=heard.seconds, flags=flags)


def _is_still(path: str, file: FileIO, looked_at: FileVersion) -> bool:
    """Whether the open file, and what the path names now, are what was looked at."""
    try:
        now = os.stat(path)  # noqa: PTH116 a Path object buys nothing here
    except OSError:
        return same_file(file, looked_at)  # taken away, but its bytes were read to the end
    return same_file(file, looked_at) and file_version(now) == looked_at


def _blocks(path: str, file: FileIO, heard: Heard) -> Iterator[Block]:
    size = os.fstat(file.fileno()).st_size
    if not size:
        raise AudioEmpty("the file is empty")
    try:
        head = file.read(12) or b""
        wav = read_wav(file, size) if is_wav(head) else None
    except OSError as error:
        raise fault(path, error) from None
    if wav and wav.plain:
        yield from _wav(path, file, wav, heard)
        return
    if head.startswith(MAGIC):
        yield from flac_blocks(path, file, size, heard)
        return
    from pipeline.audio.packets import packet_blocks  # loads PyAV, which plain WAV and FLAC need not

    yield from packet_blocks(path, file, size, heard)


def _wav(path: str, file: FileIO, wav: WavFile, heard: Heard) -> Iterator[Block]:
    blocks = wav_blocks(file, wav)
    while True:
        try:
            block = next(blocks, None)
        except OSError as error:
            raise fault(path, error) from None
        if block is None:
            break
        heard.add(block.samples.shape[1] / block.rate)
        yield block
    heard.ended(wav.declared_s, max(wav.size, 1))

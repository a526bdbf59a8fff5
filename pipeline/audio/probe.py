"""What an audio file is, by its content: form, channels, length by the header's word, and whether it can go as it is.

Reads headers only. Raises the item's own fault, never a library error.
"""

from __future__ import annotations

import os
from io import FileIO
from typing import TYPE_CHECKING

import msgspec

from pipeline.audio.ogg import read_ogg_opus
from pipeline.audio.wav import PCM, WavFile, is_wav, read_wav
from pipeline.errors import AudioEmpty
from pipeline.model import FileVersion
from pipeline.source import source_of
from pipeline.source.local import fault, file_version

if TYPE_CHECKING:
    from pipeline.audio.lengths import Told

_SENDABLE_BITS = (16, 24, 32)


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """What a file is."""

    form: str
    """For messages: `WAV with 16 bit PCM samples`."""
    content_type: str | None
    """What the service is told where it takes the very bytes; None: the file must be decoded."""
    duration_s: float
    """The header's word as far as the file's size bears it out; exact where content_type is set. 0 where only decoding
    can tell."""
    is_counted: bool
    """The length is a count of samples, of packets or of what is there: no guess by bit rate or by size."""
    declared_s: float | None = None
    """What the header counts, where samples of one size are all that there is: less may be there."""
    wav: WavFile | None = None
    """The shape of plain WAV."""
    channels: int
    is_mono: bool
    """It has one channel from its beginning to its end: of other forms the header tells only what it begins with."""
    version: FileVersion


def probe(path: str) -> Probe:
    """The facts of a file.

    Raises AudioMissing, AudioEmpty, AudioUnreadable (no audio, no right to read it), AudioUnsupported (no audio track,
    encrypted, no decoder) or AudioUnavailable.
    """
    with source_of(path).open(path) as file:
        return probe_open(path, file)


def probe_open(path: str, file: FileIO) -> Probe:
    """The same for an open file."""
    found = os.fstat(file.fileno())
    if not found.st_size:
        raise AudioEmpty("the file is empty")
    try:
        file.seek(0)
        head = file.read(12) or b""
        wav = read_wav(file, found.st_size) if is_wav(head) else None
        opus = read_ogg_opus(file, found.st_size) if head.startswith(b"OggS") else None
    except OSError as error:
        raise fault(path, error) from None
    declared_s: float | None = None
    if wav and wav.plain:
        if wav.size < wav.block:
            raise AudioEmpty("the file holds no samples")
        form, content_type = wav.form, "audio/wav" if _sendable(wav) else None
        duration_s, channels, is_counted, declared_s = wav.duration_s, wav.channels, True, wav.declared_s
        is_fixed = True
    elif opus:
        form, content_type = "Ogg with Opus audio", "audio/ogg" if opus.truthful and opus.channels == 1 else None
        duration_s, channels, is_counted = opus.duration_s, opus.channels, opus.whole
        is_fixed = opus.whole
    else:
        form, content_type = "", None
        form, channels, (duration_s, is_counted, declared_s) = _container(path, file)
        is_fixed = head.startswith(b"fLaC")  # libsndfile decodes it: as many as it begins with
    return Probe(
        form=form,
        content_type=content_type,
        duration_s=duration_s,
        is_counted=is_counted,
        declared_s=declared_s,
        wav=wav if wav and wav.plain else None,
        channels=channels,
        is_mono=is_fixed and channels == 1,
        version=file_version(found),
    )


def _sendable(wav: WavFile) -> bool:
    # the service documents plain integer PCM, format 1, of one channel; an extensible header is another format
    return wav.tag == PCM and not wav.extensible and wav.truthful and wav.bits in _SENDABLE_BITS and wav.channels == 1


def _container(path: str, file: FileIO) -> tuple[str, int, Told]:
    # 50 ms to load, and WAV needs none of it
    from pipeline.audio.container import form_of, open_container, refuse_locked, translated
    from pipeline.audio.lengths import told_s

    with open_container(path, file) as (container, stream), translated(path):
        if container.format.name.startswith("mov"):
            refuse_locked(next(container.demux(stream)))
        return form_of(container, stream), stream.codec_context.channels, told_s(container, stream, file)

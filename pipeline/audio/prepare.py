"""From an utterance to the clips its requests carry.

A recording that the service takes as it is goes out untouched, from disk. Everything else is decoded into the spool and
sent as spans of what was decoded: one clip per span and channel, no longer than one request may carry.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Hashable
from itertools import pairwise
from pathlib import Path

import msgspec

from pipeline.audio.decoded import BYTES, RATE, Channels, Decoded, Track
from pipeline.audio.decoders import Decode, Decoders, EncodeOpus
from pipeline.audio.look import Look
from pipeline.audio.probe import Probe
from pipeline.audio.spool import Spool
from pipeline.config.settings import AudioSettings
from pipeline.errors import SpanOutside
from pipeline.model import Clip, Utterance

log = logging.getLogger(__name__)

VERSION = 1
"""Raised when preparation changes what is sent; part of every transcript's identity."""
MARGIN_S = 0.5
"""A cut clip is shorter than one request may carry by this much: nobody knows how exactly the service counts."""
ROW_TOLERANCE_S = 1.0
"""A row may end so much after its recording: others round, and count from headers."""
SHORTER_S = 0.02
"""A row that ends so little before its recording means all of it."""


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """An utterance's audio, ready to go."""

    clips: tuple[Clip, ...]
    duration_s: float
    """Measured length of what will be transcribed."""
    flags: tuple[str, ...] = ()
    held: Hashable = None
    """What it holds of the spool, and `files` that are its own; both go with `Preparation.release`."""
    files: tuple[str, ...] = ()


class Preparation:
    """Prepares the utterances of one run; owns the decoders and the spool."""

    def __init__(self, settings: AudioSettings, folder: Path) -> None:
        """`folder` holds what is decoded, for as long as the run lasts."""
        self._settings = settings
        self._decoders = Decoders(settings.decoders)
        self._spool = Spool(folder, settings.spool_mb << 20)
        self._encoded = 0

    @property
    def allows_truncated(self) -> bool:
        """Whether a recording that breaks off is sent as far as it goes."""
        return self._settings.allow_truncated

    async def prepare(self, utterance: Utterance, found: Look) -> Prepared:
        """The clips of an utterance; hand the result to `release` when they have been sent.

        Raises a subclass of ItemError where its audio cannot be sent, AudioUnavailable, or OutputError.
        """
        probe, settings = found.probe, self._settings
        if passes_through(utterance, probe, settings):
            return untouched(utterance, found)
        which = channels_of(utterance, probe, settings)
        key = (found.path, probe.size_bytes, probe.mtime_ns, which)
        tracks = max(1, probe.channels) if which == "split" else 1

        async def decode(target: str) -> Decoded:
            job = Decode(
                path=found.path,
                target=target,
                channels=which,
                allow_truncated=settings.allow_truncated,
                looked_at=(probe.size_bytes, probe.mtime_ns),
                expected_s=probe.duration_s,
            )
            decoded = await self._decoders.decode(job)
            log.info("decoded %s: %.1f s, %d tracks", found.path, decoded.duration_s, len(decoded.tracks))
            return decoded

        expected_bytes = int(probe.duration_s * RATE) * BYTES * tracks
        decoded = await self._spool.hold(key, expected_bytes, decode)
        files: list[str] = []
        try:
            start, samples, flags = _span(utterance, decoded, settings)
            clips: list[Clip] = []
            for track in decoded.tracks:
                # tracks differ in length where a recording changed its channels on the way
                length = min(samples, track.samples - start)
                for first, last in pairwise(await self._bounds(track, start, length)):
                    clips.append(await self._clip(utterance, found, track, (first, last), start, len(clips), files))
        except BaseException:
            self._let_go(utterance, key, files)
            raise
        return Prepared(clips=tuple(clips), duration_s=samples / RATE, flags=flags, held=key, files=tuple(files))

    def release(self, utterance: Utterance, prepared: Prepared) -> None:
        """Nothing of it will be sent any more."""
        if prepared.held is not None:
            self._let_go(utterance, prepared.held, prepared.files)

    async def close(self) -> None:
        """Ends the decoders and removes what was decoded."""
        await self._decoders.close()
        await self._spool.close()

    def _let_go(self, utterance: Utterance, key: Hashable, files: list[str] | tuple[str, ...]) -> None:
        # a recording of which one row wants a span is likely to be wanted by others
        self._spool.release(key, keep=_is_span(utterance))
        for file in files:
            Path(file).unlink(missing_ok=True)

    async def _bounds(self, track: Track, start: int, samples: int) -> list[int]:
        longest = longest_samples(self._settings)
        if samples <= 0:
            return []
        if samples <= longest:
            return [start, start + samples]
        from pipeline.audio.split import cuts

        return [start, *await asyncio.to_thread(cuts, track.path, start, samples, longest), start + samples]

    async def _clip(
        self, utterance: Utterance, found: Look, track: Track, span: tuple[int, int], start: int, number: int,
        files: list[str],
    ) -> Clip:  # fmt: skip
        first, last = span
        settings, samples = self._settings, last - first
        lead = round(settings.lead_silence_s * RATE)
        if settings.upload == "opus":
            self._encoded += 1
            path, content_type = str(self._spool.file(f"{self._encoded:07d}.opus")), "audio/ogg"
            files.append(path)
            await self._decoders.encode(
                EncodeOpus(track=track.path, start=first, samples=samples, lead_samples=lead, target=path)
            )
            prefix, span_bytes = b"", None
        else:
            from pipeline.audio.encode import wav_header

            path, content_type = track.path, "audio/wav"
            prefix = wav_header(lead + samples) + bytes(lead * BYTES)
            span_bytes = (first * BYTES, samples * BYTES)
        stat = os.stat(path)  # noqa: PTH116 a file that was written a moment ago
        return Clip(
            utterance=utterance,
            clip=number,
            path=path,
            content_type=content_type,
            size_bytes=stat.st_size,
            mtime_ns=stat.st_mtime_ns,
            start_s=(first - start) / RATE,
            duration_s=samples / RATE,
            prefix=prefix,
            span_bytes=span_bytes,
            lead_s=lead / RATE,
            channel=track.channel,
            audio_hash=found.audio_hash,
            key=f"{track.channel}:{first}+{samples}",
        )


def passes_through(utterance: Utterance, probe: Probe, settings: AudioSettings) -> bool:
    """Whether the service gets the file's own bytes."""
    return (
        probe.content_type is not None
        and (not _is_span(utterance) or _covers(utterance, probe))
        and probe.duration_s <= settings.max_clip_s
        and not settings.lead_silence_s
        and (settings.upload == "auto" or probe.content_type == "audio/ogg")
    )


def untouched(utterance: Utterance, found: Look) -> Prepared:
    """The one clip of a recording that goes out as it is."""
    probe = found.probe
    clip = Clip(
        utterance=utterance,
        clip=0,
        path=found.path,
        content_type=probe.content_type or "",
        size_bytes=probe.size_bytes,
        mtime_ns=probe.mtime_ns,
        start_s=0.0,
        duration_s=probe.duration_s,
        audio_hash=found.audio_hash,
    )
    return Prepared(clips=(clip,), duration_s=probe.duration_s)


def longest_samples(settings: AudioSettings) -> int:
    """The most samples of a recording that one cut clip carries."""
    margin_s = min(MARGIN_S, settings.max_clip_s / 100)
    return int((settings.max_clip_s - settings.lead_silence_s - margin_s) * RATE)


def channels_of(utterance: Utterance, probe: Probe, settings: AudioSettings) -> Channels:
    """What is decoded of the recording's channels."""
    channels = probe.channels
    if utterance.channel is not None:
        if utterance.channel >= channels > 0:
            raise SpanOutside(
                f"the row asks for channel {utterance.channel}, counted from 0; the recording has {channels}"
            )
        return utterance.channel
    return 0 if settings.channels == "first" else settings.channels  # a file may go on with more than it begins with


def _is_span(utterance: Utterance) -> bool:
    return bool(utterance.offset_s or utterance.duration_s is not None or utterance.channel)


def _covers(utterance: Utterance, probe: Probe) -> bool:
    """Whether the row's span is the whole recording, as manifests have it that give each row its length."""
    length_s = utterance.duration_s or 0.0
    over_s = length_s - probe.duration_s
    return not utterance.offset_s and not utterance.channel and -SHORTER_S <= over_s <= ROW_TOLERANCE_S


def _span(utterance: Utterance, decoded: Decoded, settings: AudioSettings) -> tuple[int, int, tuple[str, ...]]:
    """(first sample, number of samples, flags) of the utterance in its recording."""
    whole = max(track.samples for track in decoded.tracks)
    start = round(utterance.offset_s * RATE)
    flags = decoded.flags
    if start >= whole:
        raise SpanOutside(_outside("begins", start, whole))
    if utterance.duration_s is None:
        return start, whole - start, flags
    wanted = round(utterance.duration_s * RATE)
    if not wanted:
        raise SpanOutside(f"the row's span of {utterance.duration_s:g} s is shorter than a sample")
    if start + wanted > whole + round(ROW_TOLERANCE_S * RATE):
        if not settings.allow_truncated:
            raise SpanOutside(
                f"{_outside('ends', start + wanted, whole)}; audio.allow_truncated = true transcribes what is there"
            )
        flags = tuple(dict.fromkeys((*flags, "truncated")))
    return start, min(wanted, whole - start), flags


def _outside(what: str, sample: int, whole: int) -> str:
    return f"the row {what} at {sample / RATE:.2f} s, the recording ends at {whole / RATE:.2f} s"

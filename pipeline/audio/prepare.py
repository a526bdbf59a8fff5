"""From an utterance to the clips that its requests carry.

A recording that the service accepts as it is is sent from disk. Everything else is decoded into the spool and sent as
spans of its tracks: one clip per span and channel, no longer than one request may carry.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Hashable
from pathlib import Path

import msgspec

from pipeline.audio.cuts import cuts
from pipeline.audio.decoders import Decoders, DecodeTask, EncodeTask
from pipeline.audio.probe import OGG_TYPE, WAV_TYPE, Recording
from pipeline.audio.spans import Span, answered_spans, best_spans, pieces_around
from pipeline.audio.spool import Spool
from pipeline.audio.tracks import SAMPLE_BYTES, SAMPLE_RATE, Decoded, DecodeLimits, Track
from pipeline.audio.upload import channels_of, is_sent_as_is, is_span, piece_limits, span_of
from pipeline.audio.wav import wav_header
from pipeline.config.settings import AudioSettings
from pipeline.exchange import Clip, Request
from pipeline.model import Utterance
from pipeline.price import Price
from pipeline.source.local import file_version_at

log = logging.getLogger(__name__)

VERSION = 1
"""Raised when preparation changes what is sent; part of every transcript's identity."""


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """An utterance's audio, ready to be sent."""

    clips: tuple[Clip, ...]
    duration_s: float
    """Measured, of what will be transcribed."""
    sample_rate: int
    """Of the recording, by its header, …"""
    channels: int
    """… as its channels are."""
    issues: tuple[str, ...] = ()
    spool_key: Hashable = None
    """Of its decoded recording, which `Preparation.release` releases; that also deletes `files`."""
    files: tuple[str, ...] = ()


class Preparation:
    """Prepares the utterances of one run; owns the decoders and the spool."""

    def __init__(self, settings: AudioSettings, price: Price, folder: Path) -> None:
        """`folder` holds what is decoded, for as long as the run lasts."""
        self._settings = settings
        self._price = price
        self._decoders = Decoders(settings.decoders)
        self._spool = Spool(folder, settings.spool_mb << 20)
        self._encoded = 0

    async def prepare(self, utterance: Utterance, recording: Recording, answered: Collection[str] = ()) -> Prepared:
        """The clips of an utterance, cut around those whose keys were `answered` before and that fit.

        The caller passes the result to `release` once they are sent. Raises a subclass of ItemError where the audio
        cannot be sent, AudioUnavailable, OutputError, or NoDecoder.
        """
        probe, settings = recording.probe, self._settings
        if is_sent_as_is(utterance, probe, settings, answered):
            return _as_is(utterance, recording)
        which = channels_of(utterance, probe, settings)
        key = (recording.path, probe.version, which)

        async def decode(target: str, max_bytes: int) -> Decoded:
            task = DecodeTask(
                path=recording.path,
                target=target,
                channels=which,
                allow_truncated=settings.allow_truncated,
                version=probe.version,
                expected_s=probe.duration_s,
                limits=DecodeLimits(settings.max_recording_h * 3600, max_bytes),
            )
            decoded = await self._decoders.decode(task)
            log.info("decoded %s: %.1f s, %d tracks", utterance.audio, decoded.duration_s, len(decoded.tracks))
            return decoded

        tracks = max(1, probe.channels) if which == "split" else 1
        expected_bytes = int(probe.duration_s * SAMPLE_RATE) * SAMPLE_BYTES * tracks
        decoded = await self._spool.acquire(key, expected_bytes, decode)
        files: list[str] = []
        try:
            start, samples, issues = span_of(utterance, decoded, settings)
            clips: list[Clip] = []
            for track in decoded.tracks:
                # tracks differ in length where the number of channels changes within a recording
                length = min(samples, track.samples - start)
                for span in await self._pieces(track, start, length, answered):
                    clips.append(await self._clip(utterance, recording, track, span, start, len(clips), files))
        except BaseException:
            self._release(key, files, keep=is_span(utterance))
            raise
        return Prepared(
            clips=tuple(clips),
            duration_s=samples / SAMPLE_RATE,
            sample_rate=probe.sample_rate,
            channels=probe.channels,
            issues=issues,
            spool_key=key,
            files=tuple(files),
        )

    @property
    def share_of_copies(self) -> int:
        """The bytes of the spool that copies of recordings may take, in a run that makes any."""
        return (self._settings.spool_mb << 20) // 2

    def share_spool(self) -> None:
        """Leaves their share to copies."""
        self._spool.keep_to((self._settings.spool_mb << 20) - self.share_of_copies)

    def keep_to(self, max_clip_s: float) -> None:
        """Cuts what is prepared from now on into clips of at most so much audio."""
        self._settings = self._settings.model_copy(update={"max_clip_s": max_clip_s})

    def release(self, utterance: Utterance, prepared: Prepared, *, comes_again: bool = False) -> None:
        """Frees what was decoded for an utterance, once all its clips are sent or given up; where it `comes_again`,
        only when other recordings need the space."""
        if prepared.spool_key is not None:
            self._release(prepared.spool_key, prepared.files, keep=comes_again or is_span(utterance))

    async def close(self) -> None:
        """Ends the decoders and removes the spool."""
        await self._decoders.close()
        await self._spool.close()

    def _release(self, key: Hashable, files: Collection[str], *, keep: bool) -> None:
        # where one row is a span of a recording, others probably are too
        self._spool.release(key, keep=keep)
        for file in files:
            Path(file).unlink(missing_ok=True)

    async def _pieces(self, track: Track, start: int, samples: int, answered: Collection[str]) -> list[Span]:
        limits, end = piece_limits(self._settings, self._price), start + samples
        if samples <= 0:
            return []
        kept = best_spans(answered_spans(answered, track.names), start, end)

        def cut(first: int, count: int) -> list[int]:
            return cuts(track.path, first, count, limits)

        if samples <= limits.longest:
            return pieces_around(kept, track.name, start, end, cut)
        return await asyncio.to_thread(pieces_around, kept, track.name, start, end, cut)

    async def _clip(
        self,
        utterance: Utterance,
        recording: Recording,
        track: Track,
        span: Span,
        start: int,
        number: int,
        files: list[str],
    ) -> Clip:
        settings, first, samples = self._settings, span.first, span.samples
        lead = max(round(settings.lead_silence_s * SAMPLE_RATE), span.lead)
        path, content_type = track.path, WAV_TYPE
        prefix, span_bytes = b"", None
        if settings.upload == "opus" and not span.is_answered:
            self._encoded += 1
            path, content_type = str(self._spool.file(f"{self._encoded:07d}.opus")), OGG_TYPE
            files.append(path)
            await self._decoders.encode(
                EncodeTask(
                    path=recording.path, track=track.path, start=first, samples=samples, lead_samples=lead, target=path
                )
            )
        else:
            prefix = wav_header(lead + samples) + bytes(lead * SAMPLE_BYTES)
            span_bytes = (first * SAMPLE_BYTES, samples * SAMPLE_BYTES)
        request = Request(
            id=utterance.id,
            clip=number,
            language=utterance.language,
            keywords=utterance.keywords,
            path=path,
            content_type=content_type,
            version=file_version_at(path),  # it was written a moment ago
            duration_s=samples / SAMPLE_RATE,
            prefix=prefix,
            span_bytes=span_bytes,
            lead_s=lead / SAMPLE_RATE,
            channel=track.channel,
        )
        return Clip(request=request, start_s=(first - start) / SAMPLE_RATE, key=span.key)


def _as_is(utterance: Utterance, recording: Recording) -> Prepared:
    """The single clip of a recording that is sent as it is."""
    probe = recording.probe
    request = Request(
        id=utterance.id,
        clip=0,
        language=utterance.language,
        keywords=utterance.keywords,
        path=recording.path,
        content_type=probe.content_type or "",
        version=probe.version,
        duration_s=probe.duration_s,
    )
    return Prepared(
        clips=(Clip(request=request, start_s=0.0),),
        duration_s=probe.duration_s,
        sample_rate=probe.sample_rate,
        channels=probe.channels,
    )

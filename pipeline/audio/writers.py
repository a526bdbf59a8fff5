"""From blocks of all channels to the tracks that were asked for."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np

from pipeline.audio.blocks import Samples
from pipeline.audio.decoded import MIX, RATE, Track, channel_name
from pipeline.audio.likeness import Likeness
from pipeline.audio.mixing import mix
from pipeline.audio.tracks import Room, TrackFile
from pipeline.errors import AudioUnsupported

_SILENT = 1
"""Of 32,768: the last bit of an input that nothing is plugged into."""


class Writer(Protocol):
    """Takes blocks, leaves tracks."""

    def add(self, rate: int, samples: Samples) -> None:
        """A block of shape (channels, samples)."""

    def finish(self) -> tuple[Track, ...]:
        """Closes the files of the tracks that are kept and deletes the others."""

    def remove(self) -> None:
        """Deletes everything written."""


class OneChannel:
    """All channels mixed, or one picked."""

    def __init__(self, target: str, channel: Literal["mix"] | int, room: Room) -> None:
        self._channel = channel
        self._started = False
        self._track = _track(target, 0 if channel == "mix" else channel, room)

    def add(self, rate: int, samples: Samples) -> None:
        if self._channel == "mix":
            if len(samples) > 1:  # of a single channel the mix is that channel
                self._track.name = MIX
            self._track.write(rate, mix(samples))
            return
        if not self._started and self._channel >= len(samples):
            raise AudioUnsupported(
                f"channel {self._channel} is asked for, counted from 0, and the file has {len(samples)}"
            )
        self._started = True
        # a broadcast may fall back to mono for a while: then all channels are that one
        chosen = self._channel if self._channel < len(samples) else 0
        if chosen != self._channel:
            self._track.name = f"{channel_name(self._channel)}_or_{channel_name(chosen)}"
        self._track.write(rate, np.ascontiguousarray(samples[chosen]))

    def finish(self) -> tuple[Track, ...]:
        return (self._track.finish(),)

    def remove(self) -> None:
        self._track.remove()


class EachChannel:
    """A track for each channel that says something of its own."""

    def __init__(self, target: str, room: Room) -> None:
        self._target = target
        self._room = room
        self._tracks: list[TrackFile] = []
        self._likeness = Likeness()

    def add(self, rate: int, samples: Samples) -> None:
        self._likeness.add(samples)
        while len(self._tracks) < len(samples):
            self._open()
        for track, channel in zip(self._tracks, samples, strict=False):
            track.write(rate, np.ascontiguousarray(channel))
        for track in self._tracks[len(samples) :]:
            track.write(rate, np.zeros(samples.shape[1], dtype=np.float32))

    def finish(self) -> tuple[Track, ...]:
        finished = [(file, file.finish()) for file in self._tracks]
        copies = self._likeness.copies()
        kept = [(file, track) for file, track in finished if file.channel not in copies and file.loudest > _SILENT]
        kept = kept or finished[:1]
        for file, track in finished:
            if (file, track) not in kept:
                file.remove()
        return tuple(track for _, track in kept)

    def remove(self) -> None:
        for track in self._tracks:
            track.remove()

    def _open(self) -> None:
        """A channel that begins late is silent until then."""
        track = _track(self._target, len(self._tracks), self._room)
        missing = self._tracks[0].samples if self._tracks else 0
        self._tracks.append(track)
        while missing > 0:
            track.write(RATE, np.zeros(min(missing, RATE), dtype=np.float32))
            missing -= RATE


def _track(target: str, channel: int, room: Room) -> TrackFile:
    return TrackFile(f"{target}.{channel}.pcm", channel, room)

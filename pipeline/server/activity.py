"""Voice activity of audio that arrives: a `step` for each 80 ms, from the energy alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from pipeline.gradium import wire
from pipeline.server.answer import Telemetry
from pipeline.server.audio import SAMPLE_BYTES

HORIZONS_S = (0.5, 1.0, 2.0, 3.0)
QUIET_RMS = 200.0
"""Of 32,768. A frame below this is silence."""
MOST, LEAST = 0.99, 0.01
"""Nobody is sure of it."""


class Activity:
    """The frames of one session so far."""

    def __init__(self) -> None:
        self._rest = b""
        self._frames = 0
        self._quiet: deque[bool] = deque(maxlen=round(HORIZONS_S[-1] / wire.FRAME_S))

    def steps(self, samples: bytes, rate: int) -> Iterator[Telemetry]:
        """Yields the steps of the frames that are whole with these 16-bit samples."""
        import numpy as np

        data = self._rest + samples
        start = 0
        while True:
            # where frames are no whole number of samples, their ends are rounded, not their lengths
            size = round((self._frames + 1) * wire.FRAME_S * rate) - round(self._frames * wire.FRAME_S * rate)
            stop = start + size * SAMPLE_BYTES
            if stop > len(data):
                break
            frame = np.frombuffer(data[start:stop], dtype="<i2")
            self._quiet.append(bool(not size or np.sqrt(np.mean(np.square(frame, dtype=np.float64))) < QUIET_RMS))
            yield Telemetry(vad=self._vad(), step_idx=self._frames)
            self._frames += 1
            start = stop
        self._rest = data[start:]

    def _vad(self) -> list[dict[str, float]]:
        """For each horizon the part of it, up to now, that was silent."""
        quiet = list(self._quiet)
        found = []
        for horizon_s in HORIZONS_S:
            window = quiet[-round(horizon_s / wire.FRAME_S) :]
            share = sum(window) / len(window)
            found.append({"horizon_s": horizon_s, "inactivity_prob": round(min(MOST, max(LEAST, share)), 3)})
        return found

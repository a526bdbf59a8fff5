"""How loud a decoded track is from moment to moment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.audio.tracks import SAMPLE_BYTES, SAMPLE_RATE

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

FINE = SAMPLE_RATE // 10
"""A tenth of a second: as long as a short pause."""
FLOOR = 4.0
"""Mean square, of 32,768 squared, that counts as silence."""
_HOP = SAMPLE_RATE // 100


def hop_of(samples: int) -> int:
    """The distance of values that show where to cut within so many samples."""
    return max(1, min(_HOP, samples // 50))


def levels_of(path: str, begin: int, end: int, hop: int) -> npt.NDArray[np.float64]:
    """Mean square of each hop."""
    import numpy as np  # here and below: most recordings need no cut

    with Path(path).open("rb") as file:
        samples = np.fromfile(file, dtype="<i2", count=end - begin, offset=begin * SAMPLE_BYTES).astype(np.float32)
    samples *= samples
    whole = samples[: samples.size - samples.size % hop].reshape(-1, hop).mean(axis=1, dtype=np.float64)
    rest = samples[whole.size * hop :]
    return np.append(whole, rest.mean(dtype=np.float64)) if rest.size else whole


def smoothed(levels: npt.NDArray[np.float64], width: int) -> npt.NDArray[np.float64]:
    """Running mean over `width` values, fewer at the ends."""
    import numpy as np

    sums = np.concatenate(([0.0], np.cumsum(levels)))
    places = np.arange(levels.size)
    first = np.maximum(places - width // 2, 0)
    last = np.minimum(places + width // 2 + 1, levels.size)
    means: npt.NDArray[np.float64] = (sums[last] - sums[first]) / (last - first)
    return means

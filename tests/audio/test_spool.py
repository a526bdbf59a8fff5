"""Each recording is decoded once while somebody needs it, and what is decoded stays within its bound."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pipeline.audio.spool import MIN_BYTES, Spool
from pipeline.audio.tracks import Decoded, OutOfSpace, Track
from pipeline.errors import AudioUnavailable, AudioUnreadable, RecordingTooLong

BYTES = 1_000


class Decoder:
    """Writes a file of BYTES, or of `sizes`, for each recording, and knows which it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.sizes: dict[str, int] = {}
        self.gate = asyncio.Event()
        self.gate.set()

    def of(self, name: str):  # type: ignore[no-untyped-def]
        async def decode(stem: str, max_bytes: int) -> Decoded:
            self.asked.append(name)
            await self.gate.wait()
            size = self.sizes.get(name, BYTES)
            if size > max_bytes:
                raise OutOfSpace("more")
            path = Path(f"{stem}.0.pcm")
            path.write_bytes(bytes(size))
            return Decoded(tracks=(Track(path=str(path), channel=0, samples=size // 2),), duration_s=1.0)

        return decode


def test_a_recording_is_decoded_once_for_all_who_hold_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        spool, decoder = Spool(tmp_path / "spool", 10 * BYTES), Decoder()
        held = await asyncio.gather(*(spool.acquire("a", BYTES, decoder.of("a")) for _ in range(5)))
        assert decoder.asked == ["a"]
        assert len({one.tracks[0].path for one in held}) == 1
        for _ in range(4):
            spool.release("a")
        assert Path(held[0].tracks[0].path).exists()
        spool.release("a")
        assert not Path(held[0].tracks[0].path).exists()
        await spool.close()
        assert not (tmp_path / "spool").exists()

    asyncio.run(scenario())


def test_what_is_kept_goes_when_its_room_is_needed_and_the_oldest_first(tmp_path: Path) -> None:
    async def scenario() -> None:
        spool, decoder = Spool(tmp_path / "spool", 3 * BYTES), Decoder()
        for name in ("a", "b"):
            await spool.acquire(name, BYTES, decoder.of(name))
            spool.release(name, keep=True)
        await spool.acquire("a", BYTES, decoder.of("a"))
        spool.release("a", keep=True)
        await spool.acquire("c", BYTES, decoder.of("c"))
        assert decoder.asked == ["a", "b", "c"]
        assert len(list((tmp_path / "spool").iterdir())) == 2
        await spool.acquire("a", BYTES, decoder.of("a"))
        assert decoder.asked == ["a", "b", "c"]
        await spool.close()

    asyncio.run(scenario())


def test_a_recording_waits_for_room(tmp_path: Path) -> None:
    async def scenario() -> None:
        spool, decoder = Spool(tmp_path / "spool", BYTES), Decoder()
        await spool.acquire("a", BYTES, decoder.of("a"))
        waiting = asyncio.create_task(spool.acquire("b", BYTES, decoder.of("b")))
        done, _ = await asyncio.wait([waiting], timeout=0.05)
        assert not done
        assert decoder.asked == ["a"]
        spool.release("a")
        await asyncio.wait_for(waiting, 10)
        assert decoder.asked == ["a", "b"]
        await spool.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("expected", [0, BYTES, 5 * BYTES, 500 * BYTES])
def test_a_recording_larger_than_the_bound_is_refused_whatever_its_header_says(tmp_path: Path, expected: int) -> None:
    async def scenario() -> None:
        spool, decoder = Spool(tmp_path / "spool", 1 << 20), Decoder()
        decoder.sizes["large"] = (1 << 20) + 2
        with pytest.raises(RecordingTooLong, match=r"than the 1 MiB that audio\.spool_mb") as told:
            await spool.acquire("large", expected, decoder.of("large"))
        assert type(told.value) is RecordingTooLong
        await asyncio.wait_for(spool.acquire("b", BYTES, decoder.of("b")), 10)
        await spool.close()

    asyncio.run(scenario())


def test_a_recording_longer_than_its_header_says_is_decoded_again_when_there_is_room_for_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        spool, decoder = Spool(tmp_path / "spool", 2 * MIN_BYTES), Decoder()
        decoder.sizes = {"lies": MIN_BYTES + 2, "true": MIN_BYTES}
        await spool.acquire("true", MIN_BYTES, decoder.of("true"))
        waiting = asyncio.create_task(spool.acquire("lies", 0, decoder.of("lies")))
        done, _ = await asyncio.wait([waiting], timeout=0.05)
        assert not done
        assert decoder.asked == ["true", "lies"]
        spool.release("true")
        await asyncio.wait_for(waiting, 10)
        assert decoder.asked == ["true", "lies", "lies"]
        await spool.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(("error", "asked"), [(AudioUnreadable("broken"), 1), (AudioUnavailable("not now"), 2)])
def test_a_broken_recording_is_tried_once_and_one_that_may_be_there_later_again(
    tmp_path: Path, error: Exception, asked: int
) -> None:
    async def scenario() -> None:
        spool, count = Spool(tmp_path / "spool", BYTES), 0

        async def decode(stem: str, max_bytes: int) -> Decoded:
            nonlocal count
            count += 1
            raise error

        for _ in range(2):
            with pytest.raises(type(error), match=str(error)):
                await spool.acquire("a", BYTES, decode)
        assert count == asked
        assert error.__traceback__ is None, "what is remembered would keep all that its frames hold"
        await asyncio.wait_for(spool.acquire("b", BYTES, Decoder().of("b")), 10)
        await spool.close()

    asyncio.run(scenario())

"""Copies of recordings that lie elsewhere: within their space, each once for all that hold it, never a deadlock."""

from __future__ import annotations

import asyncio
import io
import threading
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.checkpoint import Selected, State
from pipeline.errors import AudioMissing, RecordingTooLong, SourceOut
from pipeline.model import Utterance
from pipeline.run.copies import LAST, REUSED_SHARE, SHARES, Copies
from pipeline.source import FileInfo, Sources
from pipeline.source.copying import too_large, write

MOST = 80_000


class Scripted(Sources):
    """Hands out recordings of the sizes that their addresses name: `s3://b/SIZE/NAME`."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched = Counter[str]()
        self.gate = threading.Event()
        self.gate.set()

    def fetch(self, path: str, file: io.FileIO, max_bytes: int, *, failed_before: bool = False) -> FileInfo:
        self.gate.wait(10)
        self.fetched[path] += 1
        if "missing" in path:
            raise AudioMissing("there is none")
        if "out" in path:
            raise SourceOut("it is out")
        size = size_of(path)
        if size > max_bytes:
            raise too_large(size, max_bytes)
        for start in range(0, size, 7_000):
            write(file, path[-1:].encode() * min(7_000, size - start))
        return FileInfo("v", size, 1.0)


def size_of(address: str) -> int:
    return int(address.split("/")[3])


def row(address: str, *, told: bool = True) -> Selected:
    return Selected(
        n=1, place=(0, "", 0, 1), utterance=Utterance(id=address, audio=address), state=State.NEW, config_hash="c",
        expected_s=1.0, done=None, attempts=0, size_bytes=size_of(address) if told and address[0] != "/" else None,
    )  # fmt: skip


def taken(folder: Path) -> int:
    return sum(one.stat().st_size for one in folder.glob("*")) if folder.exists() else 0


addresses = st.builds("s3://b/{}/{}".format, st.integers(0, MOST // 4), st.sampled_from("abcdef"))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(addresses, min_size=1, max_size=6), min_size=1, max_size=12), st.booleans())
def test_whatever_is_held_has_its_content_within_the_space_and_all_end(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[str]], told: bool
) -> None:
    folder = tmp_path_factory.mktemp("copies") / "spool" / "copies"
    folder.parent.parent.mkdir(exist_ok=True)
    peak = 0

    async def station(copies: Copies, batch: list[str]) -> None:
        nonlocal peak
        for rows in copies.split([row(address, told=told) for address in batch]):
            held = await copies.hold(rows)
            peak = max(peak, taken(folder))
            for address, path in held.items():
                assert Path(str(path)).read_bytes() == address[-1:].encode() * size_of(address)
            kept = rows[0].utterance.audio
            is_kept = kept in held and copies.keep(kept)
            copies.release(held)
            for one in rows:
                if one.utterance.audio not in held:  # where sizes are known there is always room
                    assert not told
                    held = await copies.hold([copies.with_all_space(one)])
                    assert Path(str(held[one.utterance.audio])).stat().st_size == size_of(one.utterance.audio)
                    peak = max(peak, taken(folder))
                    copies.release(held)
            if is_kept:
                await asyncio.sleep(0)
                copies.release({kept: ""})

    async def scenario() -> None:
        sources = Scripted()
        copies = Copies(sources, folder, MOST)
        await asyncio.wait_for(asyncio.gather(*(station(copies, batch) for batch in batches)), 20)
        every = {address for batch in batches for address in batch}
        if told and sum(map(size_of, every)) <= MOST:
            assert set(sources.fetched.values()) <= {1}
        await copies.close()

    asyncio.run(scenario())
    assert peak <= MOST
    assert not folder.exists()


@settings(max_examples=3, deadline=None)
@given(st.lists(st.lists(addresses, min_size=1, max_size=4, unique=True), min_size=100, max_size=120))
def test_files_are_written_over_and_hold_what_they_are_said_to(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[str]]
) -> None:
    folder = tmp_path_factory.mktemp("copies") / "copies"
    recording_at, inodes = dict[str, str](), set[int]()

    async def scenario() -> None:
        copies = Copies(Scripted(), folder, REUSED_SHARE * MOST)
        for number, batch in enumerate(batches):
            wanted = [f"{address}{number % 90}{address[-1]}" for address in batch]
            held = await copies.hold([row(address) for address in wanted])
            for address, path in held.items():
                assert Path(str(path)).read_bytes() == address[-1:].encode() * size_of(address)
            for address, path in held.items():  # times of files may be coarse: a path tells whose content it has
                assert recording_at.setdefault(str(path), address) == address
            inodes.update(Path(str(path)).stat().st_ino for path in held.values())
            copies.release(held)
        assert len(list(folder.iterdir())) <= LAST + 1
        await copies.close()

    asyncio.run(asyncio.wait_for(scenario(), 20))
    assert len(inodes) <= LAST + 1


def run(scenario: object) -> None:
    asyncio.run(asyncio.wait_for(scenario, 20))  # type: ignore[arg-type]


def test_local_files_are_no_copies(tmp_path: Path) -> None:
    async def scenario() -> None:
        copies = Copies(Scripted(), tmp_path / "copies", MOST)
        held = await copies.hold([row("/a.wav")])
        assert held == {"/a.wav": "/a.wav"}
        assert not copies.keep("/a.wav")
        copies.release(held)
        await copies.close()

    run(scenario())


def test_a_recording_larger_than_the_space_is_refused_unfetched(tmp_path: Path) -> None:
    async def scenario() -> None:
        sources = Scripted()
        copies = Copies(sources, tmp_path / "copies", MOST)
        large, small = f"s3://b/{MOST + 1}/a", "s3://b/5/b"
        held = await copies.hold([row(large), row(small)])
        assert isinstance(held[large], RecordingTooLong)
        assert Path(str(held[small])).read_bytes() == b"bbbbb"
        assert sources.fetched == {small: 1}
        copies.release(held)
        await copies.close()

    run(scenario())


def test_the_next_row_may_find_what_failed_and_what_ends_the_run_ends_all_waits(tmp_path: Path) -> None:
    async def scenario() -> None:
        sources = Scripted()
        copies = Copies(sources, tmp_path / "copies", MOST)
        for _ in range(2):
            held = await copies.hold([row("s3://b/5/missing"), row("s3://b/5/a")])
            assert isinstance(held["s3://b/5/missing"], AudioMissing)
            copies.release(held)
        assert sources.fetched == {"s3://b/5/missing": 2, "s3://b/5/a": 1}
        with pytest.raises(SourceOut):
            await copies.hold([row("s3://b/5/out"), row("s3://b/5/c")])
        await copies.close()

    run(scenario())


def test_who_is_cancelled_while_it_waits_leaves_the_space_to_others(tmp_path: Path) -> None:
    async def scenario() -> None:
        sources = Scripted()
        copies = Copies(sources, tmp_path / "copies", MOST)
        first = await copies.hold([row(f"s3://b/{MOST}/a")])
        waiting = asyncio.create_task(copies.hold([row(f"s3://b/{MOST}/b")]))
        await asyncio.sleep(0)
        waiting.cancel()
        last = asyncio.create_task(copies.hold([row(f"s3://b/{MOST}/c")]))
        copies.release(first)
        held = await last
        assert Path(str(held[f"s3://b/{MOST}/c"])).stat().st_size == MOST
        copies.release(held)
        await copies.close()

    run(scenario())


def test_who_is_cancelled_lets_those_behind_it_go_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        copies = Copies(Scripted(), tmp_path / "copies", MOST)
        first = await copies.hold([row(f"s3://b/{MOST - 100}/a")])
        large = asyncio.create_task(copies.hold([row(f"s3://b/{MOST}/b")]))
        await asyncio.sleep(0)
        small = asyncio.create_task(copies.hold([row("s3://b/50/c")]))
        await asyncio.sleep(0)
        large.cancel()
        copies.release(await small)
        copies.release(first)
        await copies.close()

    run(scenario())


def test_a_group_takes_a_share_of_the_space_unless_one_recording_is_larger(tmp_path: Path) -> None:
    copies = Copies(Scripted(), tmp_path / "copies", MOST)
    sizes = [MOST // SHARES, 1, MOST, 0, 5]
    groups = [
        [size_of(one.utterance.audio) for one in group]
        for group in copies.split([row(f"s3://b/{size}/a") for size in sizes])
    ]
    assert groups == [[MOST // SHARES], [1], [MOST], [0, 5]]

"""What of a source is repeated or waited out, and what leaves nothing behind, over a store that follows a script."""

from __future__ import annotations

import io
import logging
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import (
    AddressRefused,
    AttemptError,
    AudioForbidden,
    AudioMissing,
    AudioUnavailable,
    OutputError,
    RecordingTooLong,
    SourceChanged,
    SourceFault,
    SourceOut,
    SourceRefusesAll,
    SourceTimeout,
    SourceUnreachable,
    Stopped,
)
from pipeline.failures import ALIKE
from pipeline.run.space import CopyFile, NoRoom, Space
from pipeline.source import Sources, outages
from pipeline.source.rules import Rules
from tests.source.scripted import (
    QUICK,
    Becomes,
    BecomesMeanwhile,
    Breaks,
    Ends,
    Fails,
    More,
    Scripted,
    Step,
    fetched,
)

A, B = "s3://bucket/a.wav", "s3://bucket/b.wav"
DATA = b"0123456789"
DOWN = SourceUnreachable("s3://bucket cannot be reached: connection refused")
FAULT = SourceFault("HTTP 500")
JOINS_S = 10


@pytest.fixture(autouse=True, scope="module")
def _short_pauses() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outages, "LONGEST_PAUSE_S", 0.002)
        patch.setattr(outages, "ALONE_S", 0.02)
        yield


def rules(**changed: object) -> Rules:
    return msgspec.structs.replace(QUICK, **changed)


def all_fetched(sources: Sources, addresses: list[str], folder: Path) -> list[bytes | BaseException]:
    """What becomes of each, all at once."""

    def one(address: str) -> bytes | BaseException:
        try:
            return fetched(sources, address, folder)
        except BaseException as error:
            return error

    with ThreadPoolExecutor(len(addresses)) as threads:
        return [*threads.map(one, addresses, timeout=JOINS_S)]


# what is repeated


@pytest.mark.parametrize("error", [FAULT, SourceTimeout("late"), SourceChanged("replaced")])
def test_a_failure_is_repeated_until_attempts_are_used_up(tmp_path: Path, error: AttemptError) -> None:
    store = Scripted({A: DATA})
    with store.sources() as sources:
        store.will(A, Fails(error), Fails(error))
        assert fetched(sources, A, tmp_path) == DATA
        store.gets.clear()
        store.will(A, *[Fails(error)] * 9)
        with pytest.raises(type(error), match=str(error)):
            fetched(sources, A, tmp_path)
        assert len(store.gets) == QUICK.max_attempts


@pytest.mark.parametrize("error", [AudioMissing("none"), AudioForbidden("403"), AddressRefused("private")])
def test_what_is_the_recordings_own_is_not_repeated(tmp_path: Path, error: AttemptError) -> None:
    store = Scripted({A: DATA})
    store.will(A, Fails(error))
    with store.sources() as sources:
        with pytest.raises(type(error)):
            fetched(sources, A, tmp_path)
        assert len(store.gets) == 1


def test_a_recording_goes_on_in_the_middle(tmp_path: Path) -> None:
    store = Scripted({A: DATA})
    store.will(A, Breaks(3, SourceTimeout("late")), Ends(4))
    with store.sources() as sources:
        assert fetched(sources, A, tmp_path) == DATA
        assert store.gets == [(A, 0), (A, 3), (A, 7)]


def test_one_that_nothing_tells_apart_begins_anew(tmp_path: Path) -> None:
    store = Scripted({A: DATA}, is_versioned=False)
    store.will(A, Breaks(3, FAULT), BecomesMeanwhile(4, b"another one", FAULT))
    with store.sources() as sources:
        assert fetched(sources, A, tmp_path) == b"another one"
        assert store.gets == [(A, 0)] * 3


def test_attempts_that_bring_much_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outages, "MUCH_BYTES", 2)
    store = Scripted({A: DATA * 5})
    with store.sources() as sources:
        store.will(A, *[Breaks(2, FAULT)] * 20)
        assert fetched(sources, A, tmp_path) == DATA * 5
        store.will(A, *[Breaks(1, FAULT)] * 20)
        with pytest.raises(SourceFault):
            fetched(sources, A, tmp_path)


def test_more_than_there_should_be_is_no_copy(tmp_path: Path) -> None:
    store = Scripted({A: DATA})
    store.will(A, More(), Breaks(3, FAULT))
    with store.sources() as sources:
        assert fetched(sources, A, tmp_path) == DATA
        with pytest.raises(RecordingTooLong, match=r"audio\.spool_mb"):
            fetched(sources, A, tmp_path, max_bytes=9)
    endless = Scripted({A: DATA}, is_sized=False)
    endless.will(A, More(DATA * 1000))
    with endless.sources() as sources, pytest.raises(RecordingTooLong):
        fetched(sources, A, tmp_path, max_bytes=99)


def steps() -> st.SearchStrategy[Step]:
    at, data = st.integers(0, 11), st.binary(max_size=11)
    errors = st.sampled_from([FAULT, SourceTimeout("late"), DOWN, SourceChanged("replaced"), AudioMissing("none")])
    return st.one_of(
        st.builds(Fails, errors), st.builds(Breaks, at, errors), st.builds(Ends, at), st.builds(More, st.binary()),
        st.builds(Becomes, data), st.builds(BecomesMeanwhile, at, data, st.none() | errors),
    )  # fmt: skip


@settings(max_examples=30)
@given(st.binary(max_size=11), st.lists(steps(), max_size=8), st.booleans())
def test_a_copy_is_whole_and_of_one_version_or_there_is_none(data: bytes, script: list[Step], is_sized: bool) -> None:
    if not is_sized:  # nobody can tell then
        script = [step for step in script if not isinstance(step, Ends | More)]
    store = Scripted({A: data}, is_sized=is_sized)
    store.will(A, *script)
    with store.sources() as sources, tempfile.TemporaryFile(buffering=0) as file:
        try:
            info = sources.fetch(A, file, 100)
        except (SourceFault, SourceTimeout, SourceChanged, AudioMissing, RecordingTooLong):
            return
        file.seek(0)
        assert file.read() == store.contents[A][int(info.version) - 1]


# outages


def test_no_attempt_is_used_up_in_an_outage(tmp_path: Path) -> None:
    store = Scripted({A: DATA})
    store.will(A, *[Fails(DOWN)] * 8, Fails(FAULT), *[Fails(DOWN)] * 8, Fails(FAULT))
    with store.sources() as sources:
        assert fetched(sources, A, tmp_path) == DATA
        assert len(store.gets) == 19


def test_failures_of_many_recordings_in_a_row_are_an_outage(tmp_path: Path) -> None:
    names = [f"s3://bucket/{number}.wav" for number in range(16)]
    store = Scripted(dict.fromkeys(names, DATA))
    left = threading.Semaphore(60)  # failures, of which attempts allow 16 x 3

    def fail(address: str) -> None:
        if left.acquire(blocking=False):
            raise SourceFault("HTTP 503")

    store.at_get = fail
    with store.sources(rules(max_attempts=10, base_s=0.01, max_s=0.01)) as sources:
        assert all_fetched(sources, names, tmp_path) == [DATA] * 16


def test_one_at_a_time_probes_while_the_others_wait(tmp_path: Path) -> None:
    names = [f"s3://bucket/{number}.wav" for number in range(9)]
    store = Scripted(dict.fromkeys(names, DATA))
    lock, active, most, probes, up = threading.Lock(), 0, 0, 0, threading.Event()

    def ask(address: str) -> None:
        nonlocal active, most, probes
        if up.is_set():
            return
        with lock:
            active += 1
            most, probes = max(most, active), probes + 1
            if probes == 12:
                up.set()
        time.sleep(0.001)  # as long as a probe takes
        with lock:
            active -= 1
        raise DOWN

    store.at_get = ask
    with store.sources() as sources, ThreadPoolExecutor(1) as first:
        began = first.submit(fetched, sources, names[0], tmp_path)
        while sources._outages.place("s3://bucket").out_since is None:
            time.sleep(0.0005)
        assert all_fetched(sources, names[1:], tmp_path) == [DATA] * 8
        assert began.result(JOINS_S) == DATA
    assert (most, probes) == (1, 12)


def test_an_outage_is_told_once_and_its_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Scripted({A: DATA})
    store.will(A, *[Fails(DOWN)] * 5)
    with store.sources() as sources, caplog.at_level(logging.WARNING):
        fetched(sources, A, tmp_path)
    assert [record.getMessage() for record in caplog.records] == [
        f"s3://bucket is out ({DOWN}): it is asked again until it answers",
        "s3://bucket answers again",
    ]


def test_a_source_that_stays_out_ends_the_run(tmp_path: Path) -> None:
    store = Scripted({A: DATA})
    store.will(A, *[Fails(DOWN)] * 1000)
    with store.sources(rules(outage_max_s=0.01)) as sources, pytest.raises(SourceOut, match=r"retry\.outage_max_s"):
        fetched(sources, A, tmp_path)


def test_other_buckets_are_asked_meanwhile(tmp_path: Path) -> None:
    other = "s3://other/a.wav"
    store = Scripted({A: DATA, other: DATA})
    store.will(A, *[Fails(DOWN)] * 1000)
    stopped = threading.Event()
    with store.sources(stopped=stopped) as sources, ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(fetched, sources, A, tmp_path)
        while not store.gets:
            time.sleep(0.0005)
        for _ in range(20):
            assert fetched(sources, other, tmp_path) == DATA
        assert not waiting.done()
        stopped.set()
        with pytest.raises(Stopped):
            waiting.result(JOINS_S)


WEB = ["https://dead/a.wav", "https://good/b.wav", "https://good/c.wav"]


def dead_host(address: str) -> None:
    if "dead" in address:
        raise SourceUnreachable("https://dead cannot be reached")


@pytest.mark.parametrize("rows", [[WEB[0], *WEB], [*WEB[1:], WEB[0], WEB[0]]], ids=["first", "last"])
def test_a_dead_web_host_fails_its_recordings_alone(tmp_path: Path, rows: list[str]) -> None:
    """Also where nothing is left to be asked of others."""
    store = Scripted(dict.fromkeys(WEB, DATA))
    store.at_get = dead_host
    with store.sources() as sources:
        if rows[-1] == WEB[0]:
            for address in rows[:2]:
                assert fetched(sources, address, tmp_path) == DATA
        found = all_fetched(sources, rows, tmp_path)
    for address, outcome in zip(rows, found, strict=True):
        assert isinstance(outcome, SourceUnreachable) if "dead" in address else outcome == DATA


def test_a_web_host_is_waited_for_while_others_are_out_too(tmp_path: Path) -> None:
    store = Scripted(dict.fromkeys(WEB, DATA))
    left = threading.Semaphore(16)

    def no_network(address: str) -> None:
        if left.acquire(blocking=False):
            raise SourceUnreachable("no network")

    with store.sources() as sources:
        assert fetched(sources, WEB[2], tmp_path) == DATA
        store.at_get = no_network
        assert all_fetched(sources, WEB[:2], tmp_path) == [DATA] * 2


def test_who_alone_is_asked_is_waited_for(tmp_path: Path) -> None:
    store = Scripted(dict.fromkeys(WEB, DATA))
    store.will(WEB[0], *[Fails(SourceUnreachable("no network"))] * 12)
    with store.sources() as sources:
        assert fetched(sources, WEB[0], tmp_path) == DATA


@pytest.mark.parametrize("error", [SourceFault("HTTP 503", http_status=503), SourceTimeout("no answer")])
def test_a_source_that_fails_for_a_manifest_is_waited_for(error: AttemptError, tmp_path: Path) -> None:
    """Nothing can be done without it, and nothing else is asked that could tell an outage."""
    prefix = "s3://bucket/"
    store = Scripted({A: DATA, B: DATA})
    failures = [Fails(error)] * 4 * QUICK.max_attempts
    with store.sources() as sources, (tmp_path / "copy").open("w+b", buffering=0) as file:
        store.will(prefix, *failures, Breaks(1, error), *failures)
        assert [one.name for one in sources.list(prefix)] == ["a.wav", "b.wav"]
        store.will(A, *failures)
        sources.fetch(A, file, 100, is_manifest=True)
        file.seek(0)
        assert file.read() == DATA
        store.will(A, *failures)
        with pytest.raises(type(error)):
            sources.fetch(A, file, 100)


# refusals


def test_a_source_that_refuses_the_first_recordings_ends_the_run(tmp_path: Path) -> None:
    names = [f"s3://bucket/{number}.wav" for number in range(20)]
    store = Scripted(dict.fromkeys(names, DATA))
    for name in names:
        store.will(name, *[Fails(AudioForbidden("HTTP 403"))] * 20)
    with store.sources() as sources:
        for name in names[: ALIKE - 1] * 2:  # the same ones count once
            with pytest.raises(AudioForbidden):
                fetched(sources, name, tmp_path)
        with pytest.raises(SourceRefusesAll, match="check the credentials"):
            fetched(sources, names[ALIKE], tmp_path)


@pytest.mark.parametrize("other", ["handed out", "described", "local", "refused", "missing"])
def test_a_source_that_refuses_all_ends_the_run_unless_others_hand_out(tmp_path: Path, other: str) -> None:
    names = [f"s3://bucket/{number}.wav" for number in range(20)]
    store = Scripted(dict.fromkeys((*names, "s3://other/a.wav"), DATA))
    for name in names:
        store.will(name, Fails(AudioForbidden("HTTP 403")))
    ends = set()
    with store.sources() as sources:
        if other == "local":
            sources.stat(__file__)
        if other in ("described", "refused"):
            sources.stat("s3://other/a.wav")
        if other == "refused":
            store.will("s3://other/a.wav", Fails(AudioForbidden("HTTP 403")))
            with pytest.raises(AudioForbidden):
                fetched(sources, "s3://other/a.wav", tmp_path)
        if other == "handed out":
            fetched(sources, "s3://other/a.wav", tmp_path)
        for name in names:
            with pytest.raises((AudioForbidden, SourceRefusesAll)) as refused:
                fetched(sources, name, tmp_path)
            ends.add(refused.type)
    assert (SourceRefusesAll in ends) is (other in ("refused", "missing"))


def test_a_manifest_that_was_handed_out_is_no_recording(tmp_path: Path) -> None:
    names = [f"s3://bucket/{number}.wav" for number in range(20)]
    store = Scripted(dict.fromkeys(names, DATA))
    with store.sources() as sources, (tmp_path / "copy").open("wb", buffering=0) as file:
        sources.fetch(names[0], file, 100, is_manifest=True)
        for name in names[1:]:
            store.will(name, Fails(AudioForbidden("HTTP 403")))
        for name in names[1:ALIKE]:
            with pytest.raises(AudioForbidden):
                fetched(sources, name, tmp_path)
        with pytest.raises(SourceRefusesAll):
            fetched(sources, names[ALIKE], tmp_path)


@pytest.mark.parametrize("handed_out", [1, 9])
def test_a_source_that_handed_out_one_refuses_single_ones(tmp_path: Path, handed_out: int) -> None:
    good, bad = [[f"s3://bucket/{kind}-{number}.wav" for number in range(20)] for kind in ("good", "bad")]
    store = Scripted(dict.fromkeys(good + bad, DATA))
    with store.sources() as sources:
        for name in good[:handed_out]:
            fetched(sources, name, tmp_path)
        for name in bad:
            store.will(name, Fails(AudioForbidden("HTTP 403")))
            with pytest.raises(AudioForbidden):
                fetched(sources, name, tmp_path)
        place = sources._outages.place("s3://bucket")
        assert len(place.refused) <= 8  # not all of a million


@pytest.mark.parametrize("answers", [True, False])
def test_recordings_that_were_refused_in_an_earlier_run_are_refused_for_themselves(
    tmp_path: Path, answers: bool
) -> None:
    names = [f"s3://bucket/{number}.wav" for number in range(20)]
    store = Scripted(dict.fromkeys(names, DATA))

    def refuses(address: str) -> None:
        raise AudioForbidden("HTTP 403")

    ends = set()
    with store.sources() as sources, (tmp_path / "copy").open("wb", buffering=0) as file:
        if answers:
            sources.stat(names[0])
        store.at_get = refuses
        for name in names:
            with pytest.raises((AudioForbidden, SourceRefusesAll)) as refused:
                sources.fetch(name, file, 100, failed_before=True)
            ends.add(refused.type)
    assert (SourceRefusesAll in ends) is not answers


# what leaves nothing behind


class Full(io.FileIO):
    """A file on a full disk."""

    def write(self, data: object) -> int:  # type: ignore[override]
        raise OSError(28, "No space left on device")


def probing(store: Scripted, sources: Sources, act: Callable[[], object]) -> None:
    """`act` while the store is out, whose end leaves the next caller free to probe."""
    store.will(A, Fails(DOWN), Fails(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt), tempfile.TemporaryFile(buffering=0) as file:
        sources.fetch(A, file, 99)
    act()
    with ThreadPoolExecutor(1) as threads, tempfile.TemporaryFile(buffering=0) as file:
        assert threads.submit(sources.fetch, B, file, 99).result(JOINS_S).size_bytes == len(DATA)


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), MemoryError(), AudioUnavailable("the disk"), AudioMissing("no")]
)
@pytest.mark.parametrize("at", [0, 3])
def test_a_probe_that_ends_otherwise_leaves_others_free(error: BaseException, at: int, tmp_path: Path) -> None:
    store = Scripted({A: DATA, B: DATA})
    with store.sources() as sources:

        def act() -> None:
            for call in (lambda: sources.read(A, 0, 5), lambda: fetched(sources, A, tmp_path)):
                store.will(A, Fails(DOWN), Breaks(at, error))
                with pytest.raises(type(error)):
                    call()
            store.will(A, Fails(DOWN), Fails(error))
            with pytest.raises(type(error)):
                sources.stat(A)

        probing(store, sources, act)


def test_a_probe_that_finds_no_room_leaves_others_free(tmp_path: Path) -> None:
    store = Scripted({A: DATA, B: DATA})
    with store.sources() as sources:

        def act() -> None:
            with CopyFile(str(tmp_path / "copy"), Space(4), 0) as file, pytest.raises(NoRoom):
                sources.fetch(A, file, 99)
            with Full(tmp_path / "full", "wb") as file, pytest.raises(OutputError, match="No space left"):
                sources.fetch(A, file, 99)

        probing(store, sources, act)


class Closed(io.FileIO):
    """A file that cannot be emptied once it is written to."""

    def truncate(self, size: int | None = None) -> int:
        if self.tell() == 0 and self.was_written:
            raise OSError(5, "Input/output error")
        return super().truncate(size)

    was_written = False

    def write(self, data: object) -> int:  # type: ignore[override]
        self.was_written = True
        return super().write(data)  # type: ignore[arg-type]


def test_a_probe_whose_copy_cannot_begin_anew_leaves_others_free(tmp_path: Path) -> None:
    store = Scripted({A: DATA, B: DATA})
    with store.sources() as sources:

        def act() -> None:
            store.will(A, Fails(DOWN), BecomesMeanwhile(3, b"another", SourceChanged("replaced")))
            with Closed(tmp_path / "copy", "wb") as file, pytest.raises(OutputError):
                sources.fetch(A, file, 99)

        probing(store, sources, act)


@pytest.mark.parametrize("left", ["at work", "closed", "broken"])
def test_a_listing_that_probes_leaves_others_free(left: str, tmp_path: Path) -> None:
    prefix = "s3://bucket/"
    store = Scripted({A: DATA, B: DATA})
    with store.sources() as sources:

        def act() -> None:
            store.will(prefix, Fails(DOWN), Breaks(1, FAULT))
            found = sources.list(prefix)
            assert next(found).name == "a.wav"
            if left == "closed":
                found.close()  # type: ignore[attr-defined]
            elif left == "broken":
                assert [one.name for one in found] == ["b.wav"]
            kept.append(found)

        kept: list[object] = []
        probing(store, sources, act)


def test_a_listing_goes_on_after_the_last_one(tmp_path: Path) -> None:
    names = [f"{number}.wav" for number in range(6)]
    prefix = "s3://bucket/day/"
    store = Scripted({prefix + name: DATA for name in names})
    with store.sources() as sources:
        store.will(prefix, *[Breaks(number, FAULT) for number in range(6)])  # each brings one
        assert [one.name for one in sources.list(prefix)] == names
        store.will(prefix, *[Fails(FAULT)] * 9)
        with pytest.raises(SourceFault):
            next(sources.list(prefix))
        store.gets.clear()
        assert sources.stat(prefix + names[0]).size_bytes == len(DATA)


# stops


@pytest.mark.parametrize("error", [DOWN, FAULT])
def test_a_stop_ends_all_waits(tmp_path: Path, error: AttemptError) -> None:
    names = [f"s3://bucket/{number}.wav" for number in range(6)]
    store, stopped = Scripted(dict.fromkeys(names, DATA)), threading.Event()
    for name in names:
        store.will(name, *[Fails(error)] * 1000)
    long = Rules(base_s=1000, max_s=1000, probe_s=1000, outage_max_s=1e6)
    with store.sources(long, stopped) as sources:
        threading.Timer(0.05, stopped.set).start()
        found = all_fetched(sources, names, tmp_path)
    assert {type(outcome) for outcome in found} == {Stopped}

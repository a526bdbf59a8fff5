"""Every file of an output, damaged in every way: each command says one sentence that names it, or has no need of it.

Nothing is lost that an undamaged file holds, and nothing is sent twice.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.acceptance.test_names import Numbered
from tests.batch import Finished, batch, jsonl_of, jsonl_rows_of, rows_of, write_wav
from tests.servers import RunningServer, start_server

COUNT = 6
SETTINGS = ("--set", "sink.rows_per_part=2", "--set", "audio.max_clip_s=5", "--set", "retry.max_attempts=1")
BOTH, LINES = '["parquet","jsonl"]', '["jsonl"]'
UNSENDABLE = "broken"
LONG = "long"
FAILS_ONCE = '[[fault]]\nkind = "internal_error"\nafter_requests = 2\nuntil_requests = 3'
"""The last clip of the long recording, which goes first, so that its others are answered and it has no transcript."""
ONE_CLIP = 1
"""What is left to be sent of it."""
DONE = (0, 3)
"""Whether the broken recording is tried again depends on what is known of it."""


class Night(NamedTuple):
    """A finished output, and what a run is asked to do with it."""

    server: RunningServer
    numbered: Numbered
    out: Path
    formats: str

    def run(self, *more: str) -> Finished:
        return self._do("run", "--concurrency", "1", *more)

    def check(self) -> Finished:
        return self._do("check")

    def _do(self, command: str, *more: str) -> Finished:
        args = ("--out", self.out, "--set", f"sink.formats={self.formats}", *SETTINGS, *more)
        return batch(command, self.numbered.path, *args, server=self.server)

    def write(self, *, reverse: bool = False) -> None:
        """Writes the manifest, with the known recordings under each other's ids, or as it was."""
        names = sorted(self.numbered.corpus.texts)
        self.numbered.write_as(names[::-1] if reverse else names)
        header, *rows = self.numbered.path.read_text().splitlines()
        others = [f"{LONG},audio/{LONG}.wav", f"{UNSENDABLE},audio/{UNSENDABLE}.wav"]
        self.numbered.path.write_text("\n".join([header, *others, *rows, ""]))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Night]]:
    """Outputs of one night by their formats: six transcripts, a recording with a clip that failed, a broken one."""
    with start_server(faults=FAILS_ONCE) as lines_server, start_server(faults=FAILS_ONCE) as server:
        made: dict[str, Night] = {}

        def night(formats: str) -> Night:
            if formats not in made:
                base = tmp_path_factory.mktemp("night")
                numbered = Numbered(base, COUNT)
                write_wav(base / "audio" / f"{LONG}.wav", seed=100, seconds=18)
                (base / "audio" / f"{UNSENDABLE}.wav").write_text("no audio")
                one = Night(server if formats == BOTH else lines_server, numbered, base / "out", formats)
                one.write()
                assert (begun := one.run()).exit == 3, begun.stderr
                assert len(jsonl_of(one.out, "clips.jsonl")) >= 2
                assert {row["id"] for row in jsonl_of(one.out, "errors.jsonl")} == {LONG, UNSENDABLE}
                made[formats] = one
            return made[formats]

        yield night


@pytest.fixture
def a_night(finished: Callable[[str], Night], tmp_path: Path) -> Callable[[str], Night]:
    """A copy of such an output, to be damaged."""

    def copied(formats: str) -> Night:
        night = finished(formats)
        shutil.copytree(night.out, tmp_path / "out")
        night.write()
        return night._replace(out=tmp_path / "out")

    return copied


def flipped(content: bytes, at: int, count: int = 8) -> bytes:
    return content[:at] + bytes(byte ^ 0xFF for byte in content[at : at + count]) + content[at + count :]


BYTES: dict[str, Callable[[bytes], bytes]] = {
    "cut short": lambda content: content[: len(content) * 2 // 3],
    "flipped at its beginning": lambda content: flipped(content, 0),
    "flipped in its middle": lambda content: flipped(content, len(content) // 2),
    "flipped near its end": lambda content: flipped(content, len(content) - 40),
    "text": lambda content: b"this is\nnothing of ours\n" * 400,
    "empty": lambda content: b"",
}
AS_BYTES = pa.binary()


def retyped(column: str, values: Callable[[int], pa.Array]) -> Callable[[pa.Table], pa.Table]:
    def changed(rows: pa.Table) -> pa.Table:
        return rows.set_column(rows.column_names.index(column), column, values(len(rows)))

    return changed


def no_utf8(count: int) -> pa.Array:
    """Strings that are none: in a buffer, because no builder takes them."""
    return pa.array([b"caf\xe9 \xff"] * count, pa.binary()).view(pa.string())


def a_struct(count: int) -> pa.Array:
    return pa.array([{"a\nb": 1}] * count)


def other_word(rows: pa.Table) -> pa.Table:
    """Words whose times are text."""
    words = [[{**word, "start_s": "soon"} for word in row] for row in rows["words"].to_pylist()]
    return rows.set_column(rows.column_names.index("words"), "words", pa.array(words))


TABLES: dict[str, Callable[[pa.Table], pa.Table]] = {
    "no id": lambda rows: rows.drop_columns(["id"]),
    "no run_id": lambda rows: rows.drop_columns(["run_id"]),
    "no credits or message": lambda rows: rows.drop_columns([{"credits", "message"} & {*rows.column_names}].pop()),
    "numbers for id": retyped("id", lambda count: pa.array([*range(count)])),
    "text for attempts": retyped("attempts", lambda count: pa.array(["many"] * count)),
    "a struct for run_id": retyped("run_id", a_struct),
    "no UTF-8 in run_id": retyped("run_id", no_utf8),
    "no UTF-8 in id": retyped("id", no_utf8),
    "nulls in run_id": retyped("run_id", lambda count: pa.nulls(count, pa.string())),
}
TRANSCRIPTS: dict[str, Callable[[pa.Table], pa.Table]] = {
    "no text": lambda rows: rows.drop_columns(["text"]),
    "numbers for text": retyped("text", lambda count: pa.array([*range(count)])),
    "text for words": retyped("words", lambda count: pa.array(["words"] * count)),
    "words with text for times": other_word,
    "a row is missing": lambda rows: rows.slice(1),
    "an unknown status": retyped("status", lambda count: pa.array(["perfect"] * count)),
    "text for metadata": retyped("metadata", lambda count: pa.array(["{}"] * count)),
    "an impossible instant": retyped(
        "finished_at", lambda count: pa.array([2**62] * count, pa.timestamp("us", tz="UTC"))
    ),
}


def each_line(change: Callable[[dict[str, Any]], Any]) -> Callable[[bytes], bytes]:
    def changed(content: bytes) -> bytes:
        lines = content.splitlines()
        return b"".join(line + b"\n" for line in [json.dumps(change(json.loads(lines[0]))).encode(), *lines[1:]])

    return changed


def in_first_line(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda content: content.replace(old, new, 1)


LINE: dict[str, Callable[[bytes], bytes]] = {
    "a key is missing": each_line(lambda row: {key: value for key, value in row.items() if key != "audio"}),
    "a value of another type": each_line(lambda row: row | {"id": 7}),
    "a list": each_line(lambda row: [row]),
    "a blank line": lambda content: b"\n" + content,
    "no UTF-8": in_first_line(b'"audio":"', b'"audio":"caf\xe9\xff'),
    "nested without end": lambda content: b'{"id":' + b"[" * 50_000 + b"\n" + content,
    "its last newline is something else": lambda content: content[:-1] + b"x",
}


def harm(path: Path, way: str) -> None:
    if way == "a folder":
        path.unlink()
        path.mkdir()
    elif way in BYTES or way in LINE:
        path.write_bytes((BYTES | LINE)[way](path.read_bytes()))
    else:
        pq.write_table((TABLES | TRANSCRIPTS)[way](pq.read_table(path)), path)


PART, LEDGER = "transcripts/part-000002.parquet", "attempts/part-000002.parquet"
WAYS: dict[tuple[str, str], list[str]] = {
    (BOTH, PART): [*BYTES, *TABLES, *TRANSCRIPTS, "a folder"],
    (BOTH, LEDGER): [*BYTES, *(way for way in TABLES if way != "text for attempts"), "a folder"],
    (BOTH, "errors.parquet"): [*BYTES, *TABLES, "a folder"],
    (BOTH, "errors.jsonl"): [*BYTES, *LINE, "a folder"],
    (BOTH, "clips.jsonl"): [*BYTES, *LINE, "a folder"],
    (BOTH, "transcripts.jsonl"): [*BYTES, *LINE, "a folder"],
    (BOTH, "checkpoint.sqlite"): [*BYTES, "a folder"],
    (LINES, "transcripts.jsonl"): [*BYTES, *LINE, "a folder"],
}
QUICK = {
    (BOTH, PART, "flipped in its middle"),
    (BOTH, PART, "no UTF-8 in run_id"),
    (BOTH, PART, "a row is missing"),
    (BOTH, LEDGER, "no credits or message"),
    (BOTH, "clips.jsonl", "no UTF-8"),
    (LINES, "transcripts.jsonl", "a value of another type"),
}
CASES = [
    pytest.param(*case, marks=() if case in QUICK else pytest.mark.slow, id=" - ".join(case[1:]) + f" - {case[0]}")
    for case in ((formats, name, way) for (formats, name), ways in WAYS.items() for way in ways)
]


def assert_told(result: Finished, path: Path) -> None:
    """It broke off with one sentence, on one line, which names the file and says what to do."""
    assert result.exit == 1, result.stderr
    [sentence] = [line for line in result.stderr.splitlines() if line.startswith("gradium-batch: ")]
    assert path.name in sentence or (path.suffix == ".sqlite" and "no checkpoint" in sentence)
    assert any(advice in sentence for advice in ("gradium-batch rebuild", "restore", "fix", "repair", "move"))


def test_all_of_it(a_night: Callable[[str], Night]) -> None:
    """The ground for what follows: without damage, known recordings under each other's ids cost nothing."""
    night = a_night(BOTH)
    night.write(reverse=True)
    before = night.server.stats()["requests"]
    assert night.run().exit == 0
    assert night.server.stats()["requests"] - before == ONE_CLIP


@pytest.mark.parametrize(("formats", "name", "way"), CASES)
def test_a_damaged_file_is_told_and_costs_nothing_that_another_holds(
    a_night: Callable[[str], Night], formats: str, name: str, way: str
) -> None:
    night = a_night(formats)
    path = night.out / name
    harm(path, way)
    before = night.server.stats()["requests"]

    status = batch("status", night.out)
    if status.exit:
        assert_told(status, path)
    night.write(reverse=True)
    check = night.check()
    if check.exit:
        assert_told(check, path)
    permuted = night.run()
    if permuted.exit not in DONE:
        assert_told(permuted, path)
    else:
        assert jsonl_rows_of(night.out) if path.is_file() else True
    assert night.server.stats()["requests"] - before <= ONE_CLIP

    rebuilt = batch("rebuild", night.out)
    if rebuilt.exit == 1:
        assert_told(rebuilt, path)
        assert path.is_dir()
        path.rename(path.with_name("aside"))
        rebuilt = batch("rebuild", night.out)
    assert rebuilt.exit == 0 or "nothing is wrong" in rebuilt.stderr, rebuilt.stderr
    again = night.run()
    assert again.exit in DONE, again.stderr
    lost = night.server.stats()["requests"] - before - ONE_CLIP
    if path.suffix == ".sqlite" and permuted.exit not in DONE:
        lost -= ONE_CLIP  # the answer came, and there was nothing sound to write it into
    if formats == BOTH:
        assert lost <= 0
        assert {id_: text for id_, text in rows_of(night.out).items() if id_ != LONG} == night.numbered.texts
    else:
        assert lost <= (COUNT if way in BYTES or way == "a folder" else 1)
    assert {id_: text for id_, text in jsonl_rows_of(night.out).items() if id_ != LONG} == night.numbered.texts


def test_a_replaced_transcript_whose_line_is_damaged_is_not_forgotten(a_night: Callable[[str], Night]) -> None:
    """A run stops there, and when the line is restored the transcript is found by those who want it again."""
    night = a_night(LINES)
    path = night.out / "transcripts.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"status"', b'"sta\xfftus"'))
    told = night.run("--set", "service.language=fr")
    assert_told(told, path)
    path.write_bytes(whole)
    assert night.run("--set", "service.language=fr").exit in DONE
    before = night.server.stats()["requests"]
    assert night.run().exit in DONE
    assert night.server.stats()["requests"] - before <= ONE_CLIP
    texts = {id_: text for id_, text in jsonl_rows_of(night.out).items() if id_ != LONG}
    assert texts == night.numbered.texts


def test_a_part_that_lost_rows_stops_what_would_write_it_anew(a_night: Callable[[str], Night]) -> None:
    night = a_night(BOTH)
    part = night.out / "transcripts" / "part-000001.parquet"
    pq.write_table(pq.read_table(part).slice(1), part)
    before, lines = night.server.stats()["requests"], (night.out / "transcripts.jsonl").read_bytes()
    assert_told(night.run("--set", "service.language=fr"), part)
    assert set(lines.splitlines()) <= set((night.out / "transcripts.jsonl").read_bytes().splitlines())
    paid = night.server.stats()["requests"] - before
    assert batch("rebuild", night.out).exit == 0
    assert night.run().exit in DONE
    assert night.server.stats()["requests"] - before <= paid + ONE_CLIP
    assert {id_: text for id_, text in rows_of(night.out).items() if id_ != LONG} == night.numbered.texts


def test_a_part_of_an_older_version_without_an_optional_column_is_sound(a_night: Callable[[str], Night]) -> None:
    night = a_night(BOTH)
    part = night.out / "transcripts" / "part-000001.parquet"
    pq.write_table(pq.read_table(part).drop_columns(["wer"]), part)
    assert batch("rebuild", night.out).exit == 2, "nothing is wrong"
    night.write(reverse=True)
    before = night.server.stats()["requests"]
    assert night.run().exit in DONE
    assert night.server.stats()["requests"] - before <= ONE_CLIP
    assert {id_: text for id_, text in rows_of(night.out).items() if id_ != LONG} == night.numbered.texts


BLOBS = [
    ("utterances", "row"),
    ("results", "row"),
    ("failures", "row"),
    ("clips", "row"),
    ("replaced", "row"),
    ("attempts", "row"),
    ("runs", "figures"),
    ("facts", "value"),
]


@pytest.mark.slow
@pytest.mark.parametrize("value", [b"\xc1", "text", 7, None, b"\x81\xa2id\xa2\xff\xff"])
@pytest.mark.parametrize(("table", "column"), BLOBS)
def test_a_row_of_the_checkpoint_that_holds_something_else_is_told_and_rebuilt(
    a_night: Callable[[str], Night], table: str, column: str, value: object
) -> None:
    night = a_night(BOTH)
    path = night.out / "checkpoint.sqlite"
    with closing(sqlite3.connect(path)) as db, db:
        try:
            other = "typeof(value) <> typeof(?1)" if table == "facts" else "1"  # of the same type it is another fact
            db.execute(f"UPDATE {table} SET {column} = ?1 WHERE {other}", (value,))  # noqa: S608 fixed texts
        except sqlite3.IntegrityError:
            pytest.skip("the table does not take it")
    before = night.server.stats()["requests"]
    night.write(reverse=True)
    for result in (
        batch("status", night.out),
        night.check(),
        night.run(),
    ):
        if result.exit not in DONE:
            assert_told(result, path)
    assert night.server.stats()["requests"] - before <= ONE_CLIP
    rebuilt = batch("rebuild", night.out)
    assert rebuilt.exit == 0 or "nothing is wrong" in rebuilt.stderr, rebuilt.stderr
    again = night.run()
    assert again.exit in DONE, again.stderr
    assert night.server.stats()["requests"] - before <= ONE_CLIP + 1
    assert {id_: text for id_, text in rows_of(night.out).items() if id_ != LONG} == night.numbered.texts

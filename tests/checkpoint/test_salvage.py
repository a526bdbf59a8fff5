"""A checkpoint with a page that cannot be read gives up what is on that page, and nothing else."""

from __future__ import annotations

from pathlib import Path

from pipeline.checkpoint import Checkpoint, Failed, Finished
from pipeline.checkpoint.salvage import Old
from tests.records import failure, scanned, transcript

PAGE = 4096
COUNT = 2_000


def test_rows_before_and_behind_a_lost_page_are_read(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.sqlite"
    names = [f"{n:05d}" for n in range(COUNT)]
    with Checkpoint(path) as checkpoint:
        checkpoint.scan([scanned(name) for name in (*names, "failed")], "m.csv")
        checkpoint.merge(())
        found = checkpoint.next_rows(None, COUNT + 1)
        checkpoint.apply(
            [
                Finished(n=one.n, transcript=transcript(one.utterance.id, f"said in {one.utterance.id}"))
                for one in found
                if one.utterance.id != "failed"
            ]
        )
        [failed] = [one for one in found if one.utterance.id == "failed"]
        checkpoint.apply([Failed(n=failed.n, failure=failure("failed"))])
    content = bytearray(path.read_bytes())
    page = content.index(b"said in 01000") // PAGE * PAGE
    lost = {name for name in names if b"said in " + name.encode() in content[page : page + PAGE]}
    assert 3 < len(lost) < 50
    content[page : page + PAGE] = bytes(PAGE)
    path.write_bytes(content)
    with Old(path) as old:
        assert {row.id for row in old.results()} == set(names) - lost
        assert old.skipped
        assert [one.id for one in old.failures()] == ["failed"]
        assert len(list(old.utterances())) == COUNT + 1
    with Old(None) as nothing:
        nothing.read_through()
        assert nothing.skipped == 0

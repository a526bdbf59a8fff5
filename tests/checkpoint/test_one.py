"""One utterance among many is found by its id, with as many steps as among few."""

from __future__ import annotations

from pathlib import Path

import msgspec

from pipeline.checkpoint import Checkpoint
from pipeline.checkpoint.figures import FEW
from pipeline.model import Utterance


def steps(checkpoint: Checkpoint, id_: str) -> int:
    counted = 0

    def step() -> int:
        nonlocal counted
        counted += 1
        return 0

    checkpoint._db.set_progress_handler(step, 1)
    one = checkpoint.find(id_)
    checkpoint._db.set_progress_handler(None, 1)
    assert one is not None
    return counted


def filled(path: Path, count: int) -> Checkpoint:
    checkpoint = Checkpoint(path)
    row = msgspec.msgpack.encode(Utterance(id="any", audio="/a.wav"))
    checkpoint._db.execute(
        """INSERT INTO utterances (id, row, state, expected_s, config_hash)
           WITH RECURSIVE c (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ?)
           SELECT printf('id %06d', i), ?, 0, 1, '' FROM c""",
        (count, row),
    )
    return checkpoint


def test_one_of_many_takes_no_more_steps_than_one_of_few(tmp_path: Path) -> None:
    few, many = filled(tmp_path / "few", 10), filled(tmp_path / "many", 20_000)
    assert steps(many, "id 000007") <= steps(few, "id 000007")


def test_of_many_ids_only_neighbours_are_compared(tmp_path: Path) -> None:
    near = filled(tmp_path / "many", FEW + 1).ids_near("folder/id 005000x")
    assert "id 005000" in near
    assert len(near) < 1_000

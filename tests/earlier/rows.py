"""The rows of an output of any version, and what becomes of those of an earlier one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.batch import jsonl_of

SPANS = {"middle": (0.5, 1.0, None), "end": (1.5, None, None), "right": (0.0, None, 1)}


def rows(out: Path, *, same: bool = True) -> dict[str, dict[str, Any]]:
    """The rows by id, with metadata as an object; fails where an id stands twice, or where the formats differ (unless a
    kill may have come between them: then it returns what is in the first)."""
    found: list[list[dict[str, Any]]] = []
    if (out / "transcripts").is_dir():
        parts = sorted((out / "transcripts").glob("part-*.parquet"))  # which may be of two versions
        found.append([row for part in parts for row in pq.ParquetFile(part).read().to_pylist()])
        for row in found[-1]:
            of = row["metadata"]
            row["metadata"] = json.loads(of) if isinstance(of, str) else dict(of)
    if (out / "transcripts.jsonl").exists():
        lines = jsonl_of(out)
        found.append([line | {"finished_at": None} for line in lines])
    by_id = [{row["id"]: row | {"finished_at": None} for row in several} for several in found]
    assert [len(one) for one in by_id] == [len(several) for several in found]
    assert not same or by_id[0] == by_id[-1]
    return by_id[0]


def assert_converted(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> None:
    """Each row is there, with what it said before in the columns of today."""
    assert before.keys() <= after.keys()
    for id_, old in before.items():
        new = after[id_]
        assert (new["offset_s"], new["span_s"], new["channel"]) == SPANS.get(id_, (0.0, None, None))
        assert (new["service"], new["sample_rate"], new["channels"]) == ("local:fingerprint", None, None)
        assert new["issues"] == old["flags"]
        assert [word | {"timing": "exact"} for word in old["words"]] == new["words"]
        assert " ".join(segment["text"] for segment in new["segments"]) == new["text"]
        assert round(old["credits"], 6) == new["credits"]
        assert round(old["latency_s"], 3) == new["latency_s"]
        same = set(old) - {"audio", "flags", "words", "credits", "latency_s", "wer", "text"}
        assert {name: old[name] for name in same} == {name: new[name] for name in same}
        if id_ != "call":
            assert (old["text"], old["wer"]) == (new["text"], new["wer"])
    assert before["call"]["text"].split() != (turns := after["call"]["text"].split())
    assert sorted(before["call"]["text"].split()) == sorted(turns)
    assert [segment["channel"] for segment in after["call"]["segments"]] == [0, 1]

"""What the checkpoint adds and counts where rows of an earlier format are converted."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.checkpoint.codec import decode_transcript, decode_utterance, encode
from pipeline.checkpoint.connection import Database, writes
from pipeline.earlier import with_span


class Conversion(Database):
    """Writes for a conversion."""

    @writes
    def convert_results(self) -> None:
        """Gives unpublished transcripts of an earlier version, or of a rebuild, the span and the channel of their rows.
        Their text may read otherwise now: those with a reference are refreshed, for their word error rate."""

        def converted(result: bytes, row: bytes) -> bytes:
            return encode(with_span(decode_transcript(result), decode_utterance(row)))

        self._db.create_function("converted", 2, converted)
        self._db.execute(
            "UPDATE results SET row = converted(row, (SELECT row FROM utterances u WHERE u.n = results.n))"
        )
        self._db.execute("UPDATE utterances SET refresh = 1 WHERE ref_words AND n IN (SELECT n FROM results)")

    @writes
    def recount(self, part: int, counts: Iterable[tuple[str, int, int]]) -> None:
        """Records (id, ref_words, ref_errors) of published transcripts in a part whose text reads otherwise now."""
        query = """UPDATE utterances SET ref_words = ?3, ref_errors = ?4
                   WHERE id = ?2 AND part = ?1 AND n NOT IN (SELECT n FROM results)"""
        self._db.executemany(query, ((part, *count) for count in counts))

"""Which rows have one audio, by ids and by paths: for `forget`. Only reads."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from pipeline.checkpoint.codec import decode_failure, decode_utterance
from pipeline.checkpoint.connection import Database, reads
from pipeline.checkpoint.schema import BAD_ROW

AUDIO_OF_CLIP = "substr(key, 1, instr(key, ':') - 1)"


def bad_id(row: bytes) -> str:
    """The id that a row gave which was skipped as invalid; "" where it gave none."""
    return decode_utterance(row).metadata.get("id", "")


class SameAudio(Database):
    """Queries for rows of the same audio."""

    @reads
    def is_in_bad_row(self, id_: str) -> bool:
        """Whether a row of this id was skipped as invalid."""
        self._db.create_function("bad_id", 1, bad_id)
        query = f"SELECT EXISTS (SELECT 1 FROM utterances WHERE config_hash = '{BAD_ROW}' AND bad_id(row) = ?)"  # noqa: S608
        return bool(self._db.execute(query, (id_,)).fetchone()[0])

    @reads
    def ids_at(self, paths: Collection[str]) -> Mapping[str, list[str]]:
        """The ids of the rows whose recording has one of these paths, by path."""
        self._db.create_function("audio_at", 1, lambda row: decode_utterance(row).audio, deterministic=True)
        found: dict[str, list[str]] = {}
        for id_, path in self._db.execute("SELECT id, audio_at(row) FROM utterances ORDER BY n"):
            if path in paths:
                found.setdefault(path, []).append(id_)
        return found

    @reads
    def audio_of_ids(self, ids: Iterable[str]) -> Mapping[str, frozenset[str]]:
        """The hashes of the audio of each of these ids: transcribed, in part, or failed."""
        found: dict[str, set[str]] = {id_: set() for id_ in ids}
        for id_, hashes in found.items():
            rows = self._db.execute(
                f"""SELECT done_audio FROM utterances WHERE id = ?1 UNION SELECT {AUDIO_OF_CLIP} FROM clips
                    WHERE n = (SELECT n FROM utterances WHERE id = ?1)""",  # noqa: S608 fixed texts
                (id_,),
            )
            hashes.update(audio for (audio,) in rows if audio)
        for audio, row in self._db.execute("SELECT audio, row FROM known_failures"):
            if (id_ := decode_failure(row).id) in found:
                found[id_].add(audio)
        return {id_: frozenset(hashes) for id_, hashes in found.items()}

    @reads
    def earlier_audio_of(self, ids: Collection[str]) -> Mapping[str, frozenset[str]]:
        """The hashes of audio whose transcripts these ids had before."""
        found: dict[str, set[str]] = {id_: set() for id_ in ids}
        for id_, audio in self._db.execute("SELECT id, audio FROM replaced"):
            if id_ in found:
                found[id_].add(audio)
        return {id_: frozenset(hashes) for id_, hashes in found.items()}

    @reads
    def ids_of_audio(self, audio: Iterable[str]) -> Mapping[str, list[str]]:
        """The ids of the rows that have each of these audios, in the order of the manifest: transcribed, in part, or
        failed."""
        db = self._db
        db.create_function("failed_id", 1, lambda row: decode_failure(row).id)
        db.execute("CREATE TEMP TABLE IF NOT EXISTS asked (audio TEXT PRIMARY KEY)")
        db.execute("DELETE FROM temp.asked")
        db.executemany("INSERT OR IGNORE INTO temp.asked VALUES (?)", ((one,) for one in audio))
        rows = db.execute(
            f"""SELECT n, id, audio FROM temp.asked CROSS JOIN utterances ON done_audio = audio
                UNION SELECT u.n, id, {AUDIO_OF_CLIP} FROM clips JOIN utterances u USING (n)
                    WHERE {AUDIO_OF_CLIP} IN (SELECT audio FROM temp.asked)
                UNION SELECT n, id, audio FROM (SELECT audio, failed_id(row) AS id FROM known_failures
                    WHERE audio IN (SELECT audio FROM temp.asked)) JOIN utterances USING (id) ORDER BY 1"""  # noqa: S608 fixed texts
        )
        found: dict[str, list[str]] = {}
        for _, id_, one in rows:
            found.setdefault(one, []).append(id_)
        return found

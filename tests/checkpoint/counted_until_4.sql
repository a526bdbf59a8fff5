-- How schemas 3 and 4 counted.
CREATE TABLE tally (
    state      INTEGER NOT NULL,
    vanished   INTEGER NOT NULL,
    suspect    INTEGER NOT NULL,
    rows       INTEGER NOT NULL DEFAULT 0,
    audio_us   INTEGER NOT NULL DEFAULT 0,
    ref_words  INTEGER NOT NULL DEFAULT 0,
    ref_errors INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (state, vanished, suspect)
) WITHOUT ROWID;
INSERT INTO tally (state, vanished, suspect) VALUES (0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1), (1, 0, 0), (1, 0, 1), (1, 1, 0), (1, 1, 1), (2, 0, 0), (2, 0, 1), (2, 1, 0), (2, 1, 1), (3, 0, 0), (3, 0, 1), (3, 1, 0), (3, 1, 1), (4, 0, 0), (4, 0, 1), (4, 1, 0), (4, 1, 1);
CREATE TABLE failing (error TEXT PRIMARY KEY, rows INTEGER NOT NULL);
CREATE INDEX oldest ON failures (error, first_seen);
CREATE TRIGGER counted_insert AFTER INSERT ON utterances BEGIN UPDATE tally SET rows = rows + 1, audio_us = audio_us + CAST(round(coalesce(new.duration_s, 0) * 1e6) AS INTEGER),
        ref_words = ref_words + new.ref_words, ref_errors = ref_errors + new.ref_errors
        WHERE state = new.state AND vanished = new.vanished AND suspect = new.suspect; END;
CREATE TRIGGER counted_delete AFTER DELETE ON utterances BEGIN UPDATE tally SET rows = rows - 1, audio_us = audio_us - CAST(round(coalesce(old.duration_s, 0) * 1e6) AS INTEGER),
        ref_words = ref_words - old.ref_words, ref_errors = ref_errors - old.ref_errors
        WHERE state = old.state AND vanished = old.vanished AND suspect = old.suspect; END;
CREATE TRIGGER counted_update AFTER UPDATE OF state, vanished, suspect, duration_s, ref_words, ref_errors ON utterances
    BEGIN UPDATE tally SET rows = rows - 1, audio_us = audio_us - CAST(round(coalesce(old.duration_s, 0) * 1e6) AS INTEGER),
        ref_words = ref_words - old.ref_words, ref_errors = ref_errors - old.ref_errors
        WHERE state = old.state AND vanished = old.vanished AND suspect = old.suspect; UPDATE tally SET rows = rows + 1, audio_us = audio_us + CAST(round(coalesce(new.duration_s, 0) * 1e6) AS INTEGER),
        ref_words = ref_words + new.ref_words, ref_errors = ref_errors + new.ref_errors
        WHERE state = new.state AND vanished = new.vanished AND suspect = new.suspect; END;
CREATE TRIGGER failing_named AFTER INSERT ON failures BEGIN
    UPDATE utterances SET error = new.error WHERE n = new.n;
END;
CREATE TRIGGER failing_more AFTER UPDATE OF state, vanished, error ON utterances WHEN new.error IS NOT NULL AND new.state IN (3, 4) AND NOT new.vanished BEGIN
    INSERT INTO failing SELECT new.error, 0 WHERE NOT EXISTS (SELECT 1 FROM failing WHERE error = new.error);
    UPDATE failing SET rows = rows + 1 WHERE error = new.error;
END;
CREATE TRIGGER failing_less AFTER UPDATE OF state, vanished, error ON utterances WHEN old.error IS NOT NULL AND old.state IN (3, 4) AND NOT old.vanished BEGIN
    UPDATE failing SET rows = rows - 1 WHERE error = old.error;
END;
CREATE TRIGGER failing_gone AFTER DELETE ON utterances WHEN old.error IS NOT NULL AND old.state IN (3, 4) AND NOT old.vanished BEGIN
    UPDATE failing SET rows = rows - 1 WHERE error = old.error;
END;

UPDATE tally SET (rows, audio_us, ref_words, ref_errors) =
    (SELECT count(*), coalesce(sum(CAST(round(coalesce(u.duration_s, 0) * 1e6) AS INTEGER)), 0), coalesce(sum(u.ref_words), 0), coalesce(sum(u.ref_errors), 0)
     FROM utterances u WHERE u.state = tally.state AND u.vanished = tally.vanished AND u.suspect = tally.suspect);
INSERT INTO failing SELECT error, count(*) FROM utterances u WHERE u.error IS NOT NULL AND u.state IN (3, 4) AND NOT u.vanished GROUP BY error;

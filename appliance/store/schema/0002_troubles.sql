-- What is remembered of the troubles of each modem, so that a restart of the hub does not begin at the bottom of the
-- ladder. The memory is the modem room's word and is not read here.

CREATE TABLE trouble (
    modem TEXT PRIMARY KEY,           -- its IMEI; of one that never said it, the place where it lives
    place TEXT NOT NULL,              -- where it was last
    memory TEXT NOT NULL,             -- JSON object
    at INTEGER NOT NULL               -- hub time, ms: which of two in one place came last
) STRICT, WITHOUT ROWID;
CREATE INDEX trouble_place ON trouble (place, at);

-- A hub of schema 1 (a rollback) does not miss this table.
INSERT INTO meta (key, value) VALUES ('readable_by', '1') ON CONFLICT (key) DO UPDATE SET value = excluded.value;

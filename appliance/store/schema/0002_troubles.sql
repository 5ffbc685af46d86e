-- What is remembered of the troubles of each place where a modem lives, so that a restart of the hub does not begin at
-- the bottom of the ladder. The memory is the modem room's word and is not read here.

CREATE TABLE trouble (
    place TEXT PRIMARY KEY,
    imei TEXT,                        -- the modem that was last in it; NULL: it never said
    memory TEXT NOT NULL,             -- JSON object
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX trouble_imei ON trouble (imei, at) WHERE imei IS NOT NULL;

-- A hub of schema 1 (a rollback) does not miss this table.
INSERT INTO meta (key, value) VALUES ('readable_by', '1') ON CONFLICT (key) DO UPDATE SET value = excluded.value;

-- What the doors need: bounds of each token, the claim of a hub that nobody owns yet, and what webhooks owe.

ALTER TABLE token ADD COLUMN per_minute INTEGER;  -- messages that it may send in a minute; NULL: no bound of its own
ALTER TABLE token ADD COLUMN daily_cap INTEGER;   -- segments in 24 hours; NULL: the policy's

-- At most one row: whoever brings the token with this SHA-256 digest becomes the first administrator.
CREATE TABLE claim (
    digest BLOB NOT NULL,
    at INTEGER NOT NULL
) STRICT;

-- Events that a webhook could not be told yet; those it was told, and those behind its cursor's way, have no row.
CREATE TABLE webhook_retry (
    hook TEXT NOT NULL,
    event INTEGER NOT NULL,           -- event.seq
    attempts INTEGER NOT NULL,
    first_hub INTEGER NOT NULL,       -- hub time of the first attempt: after three days it is given up
    due_hub INTEGER NOT NULL,
    PRIMARY KEY (hook, event)
) STRICT, WITHOUT ROWID;
CREATE INDEX webhook_retry_due ON webhook_retry (hook, due_hub);
CREATE INDEX webhook_retry_event ON webhook_retry (event);

-- The steps taken for one modem are few among very many events; this costs the others nothing.
CREATE INDEX event_recovery ON event (subject, seq) WHERE kind = 'recovery';

-- A hub of schema 1 or 2 (a rollback) misses none of this.
INSERT INTO meta (key, value) VALUES ('readable_by', '1') ON CONFLICT (key) DO UPDATE SET value = excluded.value;

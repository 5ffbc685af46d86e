-- The journal, first shape. Times: *_hub is hub time in ms (deadlines, windows), *_at is unix time in ms (for showing).

CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Numbers that must never be given twice, also when the rows that bear them are gone.
CREATE TABLE counter (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counter (name, value) VALUES ('received', 0);

CREATE TABLE event (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    hub INTEGER NOT NULL,
    at INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;

CREATE TABLE cursor (
    door TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE message (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    client TEXT NOT NULL,
    recipient TEXT NOT NULL,
    imsi TEXT,                        -- the SIM that sends it; NULL: none yet
    pinned INTEGER NOT NULL,          -- 1: the client named the SIM
    priority INTEGER NOT NULL,
    report INTEGER NOT NULL,
    on_in_doubt TEXT NOT NULL,
    encoding TEXT NOT NULL,
    text TEXT,
    data BLOB,
    port INTEGER,
    flash INTEGER NOT NULL,
    extra TEXT NOT NULL,              -- JSON object, shown with the message
    segments INTEGER NOT NULL,
    told TEXT NOT NULL,               -- the state word of this message's newest event
    booked_hour INTEGER NOT NULL,     -- the hour of table spend that bears its segments for its SIM
    accepted_hub INTEGER NOT NULL,
    accepted_at INTEGER NOT NULL,
    updated_hub INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    expires_hub INTEGER NOT NULL
) STRICT;
CREATE INDEX message_lane ON message (imsi, recipient, priority, seq) WHERE told IN ('queued', 'submitting');
CREATE INDEX message_expiry ON message (expires_hub) WHERE told IN ('queued', 'submitting');
CREATE INDEX message_finished ON message (updated_hub) WHERE told NOT IN ('queued', 'submitting');
CREATE INDEX message_told ON message (told, seq);
CREATE INDEX message_recipient ON message (recipient, seq);
CREATE INDEX message_client ON message (client, seq);

CREATE TABLE segment (
    message INTEGER NOT NULL REFERENCES message (seq) ON DELETE CASCADE,
    n INTEGER NOT NULL,               -- from 1
    tpdu BLOB NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    payload_next INTEGER NOT NULL DEFAULT 0,
    resent INTEGER NOT NULL DEFAULT 0, -- 1: its one automatic re-submission is due or done
    not_before_hub INTEGER NOT NULL DEFAULT 0,
    claimed_hub INTEGER,
    imsi TEXT,                        -- the SIM that submitted it
    mr INTEGER,                       -- TP-MR of the submission
    submitted_hub INTEGER,
    submitted_at INTEGER,
    report_status INTEGER,            -- TP-ST of the newest status report
    reason_code TEXT,
    reason_class TEXT,
    reason_text TEXT,
    PRIMARY KEY (message, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX segment_mr ON segment (imsi, mr, submitted_hub) WHERE mr IS NOT NULL;
CREATE INDEX segment_submitted ON segment (imsi, submitted_hub) WHERE mr IS NOT NULL;
CREATE INDEX segment_submitting ON segment (message, n) WHERE state = 'submitting';
CREATE INDEX segment_unnumbered ON segment (claimed_hub)
    WHERE mr IS NULL AND (state IN ('in_doubt', 'submitted') OR (state = 'queued' AND resent = 1));

-- One row for each (SIM, recipient, priority) that has something to send: which message is first there, and when.
-- It repeats what message and segment say, so that a claim costs the same with 1 and with 100,000 messages queued.
CREATE TABLE lane (
    recipient TEXT NOT NULL,
    imsi TEXT NOT NULL,
    priority INTEGER NOT NULL,
    head INTEGER NOT NULL,            -- message.seq
    begun INTEGER NOT NULL,           -- 1: some segments of the head have left
    ready INTEGER NOT NULL,           -- 1: its next segment may be claimed
    due_hub INTEGER,                  -- when it will be ready; NULL while a segment is in flight
    PRIMARY KEY (recipient, imsi, priority)
) STRICT, WITHOUT ROWID;
CREATE INDEX lane_ready ON lane (imsi, priority DESC, begun DESC, head) WHERE ready = 1;
CREATE INDEX lane_waiting ON lane (imsi, due_hub) WHERE ready = 0;

CREATE TABLE idempotency (
    client TEXT NOT NULL,
    key TEXT NOT NULL,
    ordinal INTEGER NOT NULL,
    fingerprint BLOB NOT NULL,
    message_id TEXT NOT NULL,
    message_seq INTEGER NOT NULL,
    hub INTEGER NOT NULL,
    PRIMARY KEY (client, key, ordinal)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_hub ON idempotency (hub);

CREATE TABLE spend (
    subject TEXT NOT NULL,            -- client:<name>, sim:<imsi>, sim: while unassigned
    hour INTEGER NOT NULL,            -- hub time / 3,600,000
    segments INTEGER NOT NULL,
    PRIMARY KEY (subject, hour)
) STRICT, WITHOUT ROWID;

CREATE TABLE report (
    id INTEGER PRIMARY KEY,
    pdu INTEGER NOT NULL,
    imsi TEXT NOT NULL,
    mr INTEGER NOT NULL,
    recipient TEXT NOT NULL,
    outcome TEXT NOT NULL,
    status INTEGER NOT NULL,
    text TEXT NOT NULL,
    discharged_at TEXT,
    hub INTEGER NOT NULL,
    at INTEGER NOT NULL,
    message INTEGER,                  -- message.seq; NULL: an orphan, nothing of ours is known that it speaks of
    n INTEGER
) STRICT;
CREATE INDEX report_orphan ON report (imsi, hub) WHERE message IS NULL;
CREATE INDEX report_pdu ON report (pdu);
CREATE INDEX report_hub ON report (hub);

CREATE TABLE inbound_pdu (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    imsi TEXT NOT NULL,
    imei TEXT NOT NULL,
    iccid TEXT,
    raw TEXT NOT NULL,                -- hex, as the modem gave it
    digest BLOB NOT NULL,
    storage TEXT,
    idx INTEGER,
    received_hub INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    reads INTEGER NOT NULL DEFAULT 1,
    removed INTEGER NOT NULL DEFAULT 0,
    outcome TEXT,                     -- NULL: not decoded yet; deliver, report, undecodable
    received TEXT,                    -- received.id that it went into
    UNIQUE (imsi, digest)
) STRICT;
CREATE INDEX inbound_undecided ON inbound_pdu (id) WHERE outcome IS NULL;
CREATE INDEX inbound_old ON inbound_pdu (received_hub) WHERE outcome IS NOT NULL AND removed = 1;
CREATE INDEX inbound_received ON inbound_pdu (received);

CREATE TABLE received (
    row INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    seq INTEGER UNIQUE,               -- of its newest telling; NULL: a set that is still gathered
    imsi TEXT NOT NULL,
    imei TEXT NOT NULL,
    sender TEXT,
    encoding TEXT,
    text TEXT,
    data BLOB,
    sent_at TEXT,
    received_hub INTEGER NOT NULL,    -- of its first part
    received_at INTEGER NOT NULL,
    told_hub INTEGER,
    set_key TEXT,
    total INTEGER NOT NULL,
    complete INTEGER NOT NULL,
    missing TEXT NOT NULL,            -- JSON array of part numbers
    extra TEXT NOT NULL,              -- JSON object, shown with the message
    field TEXT,                       -- undecodable: where decoding stopped
    offset INTEGER,
    detail TEXT,
    raw TEXT
) STRICT;
CREATE INDEX received_set ON received (imsi, set_key, row) WHERE set_key IS NOT NULL;
CREATE INDEX received_open ON received (received_hub) WHERE seq IS NULL;
CREATE INDEX received_sender ON received (sender, seq);

CREATE TABLE part (
    received INTEGER NOT NULL REFERENCES received (row) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    raw TEXT NOT NULL,
    PRIMARY KEY (received, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE token (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    scopes TEXT NOT NULL,             -- JSON array
    digest BLOB NOT NULL UNIQUE,      -- SHA-256
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;
CREATE UNIQUE INDEX token_name ON token (name) WHERE revoked_at IS NULL;

CREATE TABLE sim (
    imsi TEXT PRIMARY KEY,
    iccid TEXT,
    imei TEXT,
    number TEXT,
    first_seen_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE pin_try (
    iccid TEXT NOT NULL,
    pin_digest BLOB NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (iccid, pin_digest)
) STRICT, WITHOUT ROWID;

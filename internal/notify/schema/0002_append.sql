-- Messages come and go by the thousand. Here one is an entry of one tree, at its end, and of a second one while it waits for
-- delivery; the first outbox had three.
ALTER TABLE outbox RENAME TO former_outbox;
CREATE TABLE messages (
	id       TEXT PRIMARY KEY,   -- time-ordered
	kept     INTEGER NOT NULL,   -- 1: nobody delivers it; shown by the inbox
	due      INTEGER NOT NULL,   -- µs: when it is to be tried next, or until when a sender has it in hand
	attempts INTEGER NOT NULL,
	message  BLOB NOT NULL       -- sealed JSON
) STRICT, WITHOUT ROWID;
INSERT INTO messages (id, kept, due, attempts, message) SELECT id, kept, due, attempts, message FROM former_outbox;
DROP TABLE former_outbox;
CREATE INDEX messages_due ON messages (due) WHERE kept = 0;

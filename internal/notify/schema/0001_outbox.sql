-- Messages to users that are not delivered yet, or kept because there is no way to deliver them.
CREATE TABLE outbox (
	id       TEXT PRIMARY KEY,   -- time-ordered
	kept     INTEGER NOT NULL,   -- 1: nobody delivers it; shown by the inbox
	due      BIGINT NOT NULL,    -- µs: when it is to be tried next, or until when a sender has it in hand
	attempts INTEGER NOT NULL,
	message  BLOB NOT NULL       -- sealed JSON
);
CREATE INDEX outbox_due ON outbox (kept, due);

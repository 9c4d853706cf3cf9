-- Sessions that were revoked: those of a subject that were issued before the epoch, the count of revocations, had come to this.
-- Rows are kept as long as such a session could live.
CREATE TABLE sts_revocations (
	kind    INTEGER NOT NULL,         -- of the subject
	id      TEXT NOT NULL,            -- of the subject
	shard   INTEGER NOT NULL,         -- the rows that are read into memory together
	epoch   INTEGER NOT NULL,
	expires INTEGER NOT NULL,         -- seconds
	PRIMARY KEY (kind, id)
);
CREATE INDEX sts_revocations_shard ON sts_revocations (shard, expires);
CREATE INDEX sts_revocations_expires ON sts_revocations (expires);

-- How many times sessions were revoked. Sessions carry what it was when they were issued.
CREATE TABLE sts_epoch (
	one   INTEGER PRIMARY KEY,
	epoch INTEGER NOT NULL
);
INSERT INTO sts_epoch (one, epoch) VALUES (1, 0);

-- Codes that users have written down, each good once in place of a second factor.
CREATE TABLE user_recovery_codes (
	pool_id TEXT NOT NULL,
	sub     TEXT NOT NULL,
	hash    BLOB NOT NULL, -- keyed with the pool's secret
	PRIMARY KEY (pool_id, sub, hash)
) STRICT, WITHOUT ROWID;

-- Sign-ins that users and administrators can list and end.

-- What pools, and with a client_id their clients, set for sessions.
CREATE TABLE user_pool_session_settings (
	pool_id   TEXT NOT NULL,
	client_id TEXT NOT NULL,
	doc       JSON NOT NULL,
	PRIMARY KEY (pool_id, client_id)
) STRICT, WITHOUT ROWID;

-- Sign-ins in pools that track them, until their refresh tokens expire. Which of them were ended otherwise, token_revocations
-- and users.tokens_after tell.
CREATE TABLE user_sessions (
	pool_id   TEXT NOT NULL,
	sub       TEXT NOT NULL,
	id        TEXT NOT NULL,    -- origin_jti
	client_id TEXT NOT NULL,
	created   INTEGER NOT NULL,
	active    INTEGER NOT NULL, -- last sign-in or refresh, by the minute
	expires   INTEGER NOT NULL,
	PRIMARY KEY (pool_id, sub, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX user_sessions_expires ON user_sessions (expires);

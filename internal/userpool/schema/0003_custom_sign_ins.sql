-- Sign-ins by custom challenges between two steps: their history and what only the triggers may know. It does not fit into
-- the session that the client keeps.
CREATE TABLE custom_sign_ins (
	id      TEXT PRIMARY KEY,
	state   BLOB NOT NULL, -- sealed for the id
	expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX custom_sign_ins_expires ON custom_sign_ins (expires);

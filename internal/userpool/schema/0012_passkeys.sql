-- Passkeys of users, at most 20 each.
CREATE TABLE user_passkeys (
	pool_id         TEXT NOT NULL,
	sub             TEXT NOT NULL,
	credential_id   TEXT NOT NULL,    -- base64url
	relying_party   TEXT NOT NULL,    -- id of the one that it was made for: it is good for no other
	public_key      BLOB NOT NULL,    -- COSE_Key, sealed, so that whoever writes to the database alone can add none
	counter         INTEGER NOT NULL, -- signature counter of the last sign-in; 0 if the authenticator has none
	backup_eligible BOOLEAN NOT NULL,
	attachment      TEXT NOT NULL,    -- platform, cross-platform, or empty
	transports      TEXT NOT NULL,    -- with blanks between them
	created         INTEGER NOT NULL,
	PRIMARY KEY (pool_id, sub, credential_id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX user_passkeys_by_id ON user_passkeys (pool_id, credential_id);

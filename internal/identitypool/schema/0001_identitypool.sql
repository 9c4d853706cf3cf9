CREATE TABLE identity_pools (
	id         TEXT PRIMARY KEY,
	account_id TEXT NOT NULL,
	name       TEXT NOT NULL,
	created    INTEGER NOT NULL,   -- µs since 1970, as all times here
	modified   INTEGER NOT NULL,
	rev        INTEGER NOT NULL,
	doc        JSON NOT NULL       -- settings, roles, tags
);
CREATE INDEX identity_pools_account ON identity_pools (account_id, id);

-- A person or a guest. Its id is time-ordered, so that many that arrive at once are neighbours.
CREATE TABLE identities (
	id            TEXT PRIMARY KEY,
	pool_id       TEXT NOT NULL,
	created       INTEGER NOT NULL,
	modified      INTEGER NOT NULL,
	enabled       BOOLEAN NOT NULL,   -- false: merged into another
	authenticated BOOLEAN NOT NULL,   -- has ever had a login; without it, a guest
	merged_into   TEXT NOT NULL       -- '' or the identity that took its logins
) WITHOUT ROWID;
CREATE INDEX identities_pool ON identities (pool_id, id);

-- Who an identity is at a provider. There are no foreign keys: at the serializable level of PostgreSQL their checks read
-- where others write, and sign-ins would undo one another. Who deletes an identity deletes its logins.
CREATE TABLE identity_logins (
	pool_id     TEXT NOT NULL,
	provider    TEXT NOT NULL,   -- canonical: a user pool's id, an IAM provider's ARN, a public login key, or developer:{name}
	subject     TEXT NOT NULL,
	identity_id TEXT NOT NULL,
	slot        TEXT NOT NULL,   -- '', or the subject of a developer login, of which an identity may have several
	linked      INTEGER NOT NULL,
	PRIMARY KEY (pool_id, provider, subject)
) WITHOUT ROWID;
-- One account of a public provider an identity.
CREATE UNIQUE INDEX identity_logins_identity ON identity_logins (identity_id, provider, slot);

-- Pools that were deleted, and whose identities are on the way.
CREATE TABLE identity_purges (
	pool_id TEXT PRIMARY KEY,
	deleted INTEGER NOT NULL
);

-- Keys that sign OpenID tokens.
CREATE TABLE identity_keys (
	kid     TEXT PRIMARY KEY,
	created INTEGER NOT NULL,
	sealed  BLOB NOT NULL      -- PKCS #8, bound to the kid
);

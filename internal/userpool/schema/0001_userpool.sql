-- User pools: directories of users with their app clients, groups, signing keys
-- and one-time codes. Times are microseconds since 1970.

-- doc is the pool as DescribeUserPool answers it, without what has its own column.
CREATE TABLE user_pools (
	id         TEXT PRIMARY KEY,
	account_id TEXT NOT NULL,
	name       TEXT NOT NULL,
	created    INTEGER NOT NULL,
	modified   INTEGER NOT NULL,
	rev        INTEGER NOT NULL,
	doc        JSON NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX user_pools_account ON user_pools (account_id, id);

-- Pools that are gone but whose rows in other tables are still being removed,
-- a batch at a time.
CREATE TABLE user_pool_remains (
	pool_id TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- RSA keys that sign the pool's tokens: one in use for each kind of token.
CREATE TABLE user_pool_keys (
	pool_id TEXT NOT NULL,
	kid     TEXT NOT NULL,
	use     TEXT NOT NULL,    -- id or access
	created INTEGER NOT NULL,
	sealed  BLOB NOT NULL,    -- private key
	PRIMARY KEY (pool_id, kid)
) STRICT, WITHOUT ROWID;

-- doc is the client as DescribeUserPoolClient answers it, without its secret.
CREATE TABLE user_pool_clients (
	id       TEXT PRIMARY KEY,
	pool_id  TEXT NOT NULL,
	name     TEXT NOT NULL,
	created  INTEGER NOT NULL,
	modified INTEGER NOT NULL,
	rev      INTEGER NOT NULL,
	doc      JSON NOT NULL,
	secrets  JSON NOT NULL    -- list of {id, created, sealed}: the client has a secret if there is one
) STRICT, WITHOUT ROWID;
CREATE INDEX user_pool_clients_pool ON user_pool_clients (pool_id, id);

-- Rows lie in order of arrival. username_key is what names are compared by: in
-- lower case if the pool ignores case, else the username itself. The columns
-- after doc repeat attributes for ListUsers, folded like username_key where the
-- attribute is compared like a username.
CREATE TABLE users (
	pool_id      TEXT NOT NULL,
	username_key TEXT NOT NULL,
	username     TEXT NOT NULL,
	sub          TEXT NOT NULL,
	status       TEXT NOT NULL,
	enabled      BOOLEAN NOT NULL,
	created      INTEGER NOT NULL,
	modified     INTEGER NOT NULL,
	rev          INTEGER NOT NULL,
	tokens_after INTEGER NOT NULL, -- tokens issued up to then are revoked
	failures     INTEGER NOT NULL, -- failed sign-ins since the last success
	failed_at    INTEGER NOT NULL, -- when the last of them was
	salt         BLOB,             -- of the SRP verifier; NULL without a password
	verifier     BLOB,             -- SRP verifier, sealed for pool and sub
	password_set INTEGER NOT NULL, -- when the password was set
	doc          JSON NOT NULL,
	email        TEXT,
	phone_number TEXT,
	preferred_username TEXT,
	name         TEXT,
	given_name   TEXT,
	family_name  TEXT
) STRICT;
CREATE UNIQUE INDEX users_username ON users (pool_id, username_key);
CREATE UNIQUE INDEX users_sub ON users (pool_id, sub);
CREATE INDEX users_email ON users (pool_id, email, username_key) WHERE email IS NOT NULL;
CREATE INDEX users_phone_number ON users (pool_id, phone_number, username_key) WHERE phone_number IS NOT NULL;
CREATE INDEX users_preferred_username ON users (pool_id, preferred_username, username_key) WHERE preferred_username IS NOT NULL;
CREATE INDEX users_name ON users (pool_id, name, username_key) WHERE name IS NOT NULL;
CREATE INDEX users_given_name ON users (pool_id, given_name, username_key) WHERE given_name IS NOT NULL;
CREATE INDEX users_family_name ON users (pool_id, family_name, username_key) WHERE family_name IS NOT NULL;
-- Most users are confirmed and enabled: the others are found by these.
CREATE INDEX users_unconfirmed ON users (pool_id, status, username_key) WHERE status <> 'CONFIRMED';
CREATE INDEX users_disabled ON users (pool_id, username_key) WHERE NOT enabled;

-- Names beside the username under which a user signs in, each held by one user:
-- verified aliases, and the e-mail address or phone number of pools that sign
-- in with those.
CREATE TABLE user_aliases (
	pool_id      TEXT NOT NULL,
	kind         TEXT NOT NULL, -- email, phone_number, preferred_username
	value_key    TEXT NOT NULL,
	username_key TEXT NOT NULL,
	PRIMARY KEY (pool_id, kind, value_key)
) STRICT, WITHOUT ROWID;

CREATE TABLE user_groups (
	pool_id     TEXT NOT NULL,
	name        TEXT NOT NULL,
	description TEXT,
	role_arn    TEXT,
	precedence  INTEGER,
	created     INTEGER NOT NULL,
	modified    INTEGER NOT NULL,
	PRIMARY KEY (pool_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE user_group_members (
	pool_id      TEXT NOT NULL,
	username_key TEXT NOT NULL,
	group_name   TEXT NOT NULL,
	PRIMARY KEY (pool_id, username_key, group_name)
) STRICT, WITHOUT ROWID;
CREATE INDEX user_group_members_group ON user_group_members (pool_id, group_name, username_key);

-- One-time codes: at most one is live for each purpose.
CREATE TABLE user_codes (
	pool_id   TEXT NOT NULL,
	sub       TEXT NOT NULL,
	purpose   TEXT NOT NULL,    -- sign-up, forgot-password, verify:email, …
	hash      BLOB NOT NULL,
	attribute TEXT NOT NULL,    -- that the code proves possession of
	value     TEXT NOT NULL,    -- the attribute's value when the code was sent
	created   INTEGER NOT NULL,
	expires   INTEGER NOT NULL,
	PRIMARY KEY (pool_id, sub, purpose)
) STRICT, WITHOUT ROWID;
CREATE INDEX user_codes_expires ON user_codes (expires);

-- How often a user did what is limited, in a window of time.
CREATE TABLE user_rates (
	pool_id TEXT NOT NULL,
	sub     TEXT NOT NULL,
	kind    TEXT NOT NULL,
	count   INTEGER NOT NULL,
	expires INTEGER NOT NULL,   -- end of the window
	PRIMARY KEY (pool_id, sub, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX user_rates_expires ON user_rates (expires);

-- Refresh-token families that were revoked, until the last of their tokens has expired.
CREATE TABLE token_revocations (
	pool_id    TEXT NOT NULL,
	origin_jti TEXT NOT NULL,
	expires    INTEGER NOT NULL,
	PRIMARY KEY (pool_id, origin_jti)
) STRICT, WITHOUT ROWID;
CREATE INDEX token_revocations_expires ON token_revocations (expires);

-- Sessions of several steps that were used and must not be used again.
CREATE TABLE used_sessions (
	id      TEXT PRIMARY KEY,
	expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX used_sessions_expires ON used_sessions (expires);

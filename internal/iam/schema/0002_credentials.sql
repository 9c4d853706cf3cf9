-- Virtual MFA devices. user_id is empty while the device is not assigned.
CREATE TABLE iam_mfa_devices (
	serial     TEXT PRIMARY KEY,      -- arn:aws:iam::ACCOUNT:mfa/PATH/NAME
	account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
	name_key   TEXT NOT NULL,         -- name in lower case
	user_id    TEXT NOT NULL,
	created    INTEGER NOT NULL,
	rev        INTEGER NOT NULL,
	secret     BLOB NOT NULL,         -- sealed
	doc        TEXT NOT NULL,
	UNIQUE (account_id, name_key)
);
CREATE INDEX iam_mfa_devices_user ON iam_mfa_devices (user_id, serial);

-- Passwords of users.
CREATE TABLE iam_login_profiles (
	user_id TEXT PRIMARY KEY REFERENCES iam_entities (id) ON DELETE CASCADE,
	created INTEGER NOT NULL,
	rev     INTEGER NOT NULL,
	doc     TEXT NOT NULL
);

CREATE TABLE iam_password_policies (
	account_id TEXT PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
	doc        TEXT NOT NULL
);

-- An alias is unique among all accounts; an account has one at most.
CREATE TABLE iam_account_aliases (
	alias      TEXT PRIMARY KEY,
	account_id TEXT NOT NULL UNIQUE REFERENCES accounts (id) ON DELETE CASCADE
);

CREATE TABLE iam_credential_reports (
	account_id TEXT PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
	created    INTEGER NOT NULL,
	content    BLOB NOT NULL
);

-- Issuers of the tokens that accounts give their principals for others. An account keeps its issuer when it stops issuing.
CREATE TABLE iam_outbound_issuers (
	account_id TEXT PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
	id         TEXT NOT NULL UNIQUE,  -- last segment of the issuer's URL
	enabled    INTEGER NOT NULL
);

-- Their signing keys, which all accounts of the installation share.
CREATE TABLE iam_outbound_keys (
	id        TEXT PRIMARY KEY,
	algorithm TEXT NOT NULL UNIQUE,   -- RS256, ES384
	created   INTEGER NOT NULL,
	private   BLOB NOT NULL           -- PKCS #8, sealed
);

CREATE TABLE iam_roles_last_used (
	role_id TEXT PRIMARY KEY REFERENCES iam_entities (id) ON DELETE CASCADE,
	used    INTEGER NOT NULL,
	region  TEXT NOT NULL
);

CREATE TABLE iam_role_deletions (
	task_id    TEXT PRIMARY KEY,
	account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE
);

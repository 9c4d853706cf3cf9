-- Accounts of this installation. name_key is the name in lower case.
CREATE TABLE accounts (
	id       TEXT PRIMARY KEY,
	name     TEXT NOT NULL,
	name_key TEXT NOT NULL UNIQUE,
	created  INTEGER NOT NULL
);

-- Users, groups and roles. Names are unique within an account and kind without regard to case.
CREATE TABLE iam_entities (
	id         TEXT PRIMARY KEY,      -- unique id: AIDA…, AGPA…, AROA…
	account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
	kind       TEXT NOT NULL,         -- user, group, role
	name       TEXT NOT NULL,
	name_key   TEXT NOT NULL,         -- name in lower case
	path       TEXT NOT NULL,
	created    INTEGER NOT NULL,
	rev        INTEGER NOT NULL,
	doc        TEXT NOT NULL,
	UNIQUE (account_id, kind, name_key)
);

CREATE TABLE iam_members (
	group_id TEXT NOT NULL REFERENCES iam_entities (id) ON DELETE CASCADE,
	user_id  TEXT NOT NULL REFERENCES iam_entities (id) ON DELETE CASCADE,
	PRIMARY KEY (user_id, group_id)
);
CREATE INDEX iam_members_group ON iam_members (group_id, user_id);

-- Customer managed policies with their versions (in doc).
CREATE TABLE iam_policies (
	arn        TEXT PRIMARY KEY,
	account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
	name       TEXT NOT NULL,
	name_key   TEXT NOT NULL,
	path       TEXT NOT NULL,
	created    INTEGER NOT NULL,
	rev        INTEGER NOT NULL,
	doc        TEXT NOT NULL,
	UNIQUE (account_id, name_key)
);

-- Managed policies (customer's or AWS's own) in use. boundary is 1 where the policy is the permissions boundary.
CREATE TABLE iam_attachments (
	entity_id  TEXT NOT NULL REFERENCES iam_entities (id) ON DELETE CASCADE,
	policy_arn TEXT NOT NULL,
	boundary   INTEGER NOT NULL,
	account_id TEXT NOT NULL,
	PRIMARY KEY (entity_id, policy_arn, boundary)
);
CREATE INDEX iam_attachments_policy ON iam_attachments (policy_arn, account_id, entity_id);

-- Long-term access keys of users; entity_id is the account id for keys of the root user. A key is used far more often than
-- it changes, so when it was used last stands in a table of its own.
CREATE TABLE iam_access_keys (
	id         TEXT PRIMARY KEY,
	account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
	entity_id  TEXT NOT NULL,
	status     TEXT NOT NULL,         -- Active, Inactive
	created    INTEGER NOT NULL,
	secret     BLOB NOT NULL          -- sealed
);
CREATE INDEX iam_access_keys_entity ON iam_access_keys (entity_id, created);

CREATE TABLE iam_last_used (
	access_key_id TEXT PRIMARY KEY REFERENCES iam_access_keys (id) ON DELETE CASCADE,
	used          INTEGER NOT NULL,
	service       TEXT NOT NULL,
	region        TEXT NOT NULL
);

CREATE TABLE iam_oidc_providers (
	arn        TEXT PRIMARY KEY,
	account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
	url        TEXT NOT NULL,         -- with the scheme
	created    INTEGER NOT NULL,
	rev        INTEGER NOT NULL,
	doc        TEXT NOT NULL
);
CREATE INDEX iam_oidc_providers_account ON iam_oidc_providers (account_id);

-- The organization. There is one at most: the column one is 1.
CREATE TABLE organizations (
	id            TEXT PRIMARY KEY,     -- o-…
	one           INTEGER NOT NULL UNIQUE,
	management_id TEXT NOT NULL,        -- account
	root_id       TEXT NOT NULL,        -- r-…
	created       INTEGER NOT NULL,
	rev           INTEGER NOT NULL,
	doc           TEXT NOT NULL
);

-- Organizational units. parent_id is the root or another unit.
CREATE TABLE organization_units (
	id              TEXT PRIMARY KEY,   -- ou-…
	organization_id TEXT NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
	parent_id       TEXT NOT NULL,
	name            TEXT NOT NULL,
	UNIQUE (parent_id, name)
);

-- Accounts that are members, the management account too. email_key is the address in lower case, and of the management
-- account, which has none, its id.
CREATE TABLE organization_accounts (
	account_id      TEXT PRIMARY KEY,
	organization_id TEXT NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
	parent_id       TEXT NOT NULL,
	email_key       TEXT NOT NULL UNIQUE,
	joined          INTEGER NOT NULL,
	doc             TEXT NOT NULL
);
CREATE INDEX organization_accounts_parent ON organization_accounts (parent_id, account_id);

CREATE TABLE organization_policies (
	id              TEXT PRIMARY KEY,   -- p-…
	organization_id TEXT NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
	type            TEXT NOT NULL,
	name            TEXT NOT NULL,
	rev             INTEGER NOT NULL,
	doc             TEXT NOT NULL,
	UNIQUE (organization_id, type, name)
);

-- What is attached to the root, a unit or an account; AWS's own policy is in no other table.
CREATE TABLE organization_attachments (
	target_id       TEXT NOT NULL,
	policy_id       TEXT NOT NULL,
	organization_id TEXT NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
	PRIMARY KEY (target_id, policy_id)
);
CREATE INDEX organization_attachments_policy ON organization_attachments (policy_id, target_id);

-- Calls of CreateAccount and what became of them.
CREATE TABLE organization_requests (
	id              TEXT PRIMARY KEY,   -- car-…
	organization_id TEXT NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
	state           TEXT NOT NULL,
	created         INTEGER NOT NULL,
	doc             TEXT NOT NULL
);

-- Members that administer a service for the organization.
CREATE TABLE organization_administrators (
	account_id      TEXT NOT NULL REFERENCES organization_accounts (account_id) ON DELETE CASCADE,
	service         TEXT NOT NULL,      -- service principal
	organization_id TEXT NOT NULL,
	since           INTEGER NOT NULL,
	PRIMARY KEY (account_id, service)
);

CREATE TABLE organization_tags (
	resource_id     TEXT NOT NULL,
	name            TEXT NOT NULL,
	value           TEXT NOT NULL,
	organization_id TEXT NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
	PRIMARY KEY (resource_id, name)
);

-- Requests of one account for temporary access to another. Columns are empty while they are not known.
CREATE TABLE iam_delegations (
	id            TEXT PRIMARY KEY,
	requestor_id  TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
	workflow_id   TEXT NOT NULL,     -- the requestor's
	owner_account TEXT NOT NULL,
	owner_id      TEXT NOT NULL,     -- ARN of who took the request on
	approver      TEXT NOT NULL,     -- unique id of the user or role who accepted it
	state         TEXT NOT NULL,
	expires       INTEGER NOT NULL,
	created       INTEGER NOT NULL,
	rev           INTEGER NOT NULL,
	doc           TEXT NOT NULL,
	UNIQUE (requestor_id, workflow_id)
);
CREATE INDEX iam_delegations_owner ON iam_delegations (owner_account, id);
CREATE INDEX iam_delegations_approver ON iam_delegations (approver);

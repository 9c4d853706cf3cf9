-- What organizations let their management accounts do with the root users of members.
CREATE TABLE iam_organization_features (
	organization_id  TEXT PRIMARY KEY,
	root_credentials INTEGER NOT NULL,
	root_sessions    INTEGER NOT NULL
);

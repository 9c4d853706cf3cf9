-- SAML providers. The metadata document is as it was given.
CREATE TABLE iam_saml_providers (
	arn        TEXT PRIMARY KEY,
	account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
	created    INTEGER NOT NULL,
	rev        INTEGER NOT NULL,
	metadata   TEXT NOT NULL,
	doc        TEXT NOT NULL
);
CREATE INDEX iam_saml_providers_account ON iam_saml_providers (account_id);

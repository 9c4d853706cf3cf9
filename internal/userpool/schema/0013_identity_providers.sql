-- Other identity providers whose users may sign in. doc is a providerDoc; what of ProviderDetails is secret is in secrets, sealed.
CREATE TABLE user_pool_identity_providers (
	pool_id  TEXT NOT NULL,
	name     TEXT NOT NULL,
	type     TEXT NOT NULL,
	created  INTEGER NOT NULL,
	modified INTEGER NOT NULL,
	rev      INTEGER NOT NULL,
	doc      JSON NOT NULL,
	secrets  BLOB NOT NULL,
	PRIMARY KEY (pool_id, name)
) STRICT, WITHOUT ROWID;

-- Other names of them, such as domains of e-mail addresses.
CREATE TABLE user_pool_provider_identifiers (
	pool_id    TEXT NOT NULL,
	identifier TEXT NOT NULL,
	name       TEXT NOT NULL,
	PRIMARY KEY (pool_id, identifier)
) STRICT, WITHOUT ROWID;

-- Who of an identity provider is which user: by its subject, or by the value of an attribute until the first sign-in.
CREATE TABLE user_identities (
	pool_id   TEXT NOT NULL,
	provider  TEXT NOT NULL,
	attribute TEXT NOT NULL, -- Cognito_Subject, or an attribute of the pool
	value     TEXT NOT NULL,
	sub       TEXT NOT NULL,
	PRIMARY KEY (pool_id, provider, attribute, value)
) STRICT, WITHOUT ROWID;
CREATE INDEX user_identities_sub ON user_identities (pool_id, sub);

-- The key that a pool signs SAML requests with, and its newest certificate.
CREATE TABLE user_pool_saml_keys (
	pool_id     TEXT PRIMARY KEY,
	sealed      BLOB NOT NULL,
	certificate BLOB NOT NULL,
	issued      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

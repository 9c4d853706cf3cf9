-- SAML assertions that credentials were issued for, until they have expired: each counts once. id is a hash of the key that
-- signed it and of its identifier.
CREATE TABLE sts_saml_assertions (
	id      TEXT PRIMARY KEY,
	expires INTEGER NOT NULL          -- seconds
);
CREATE INDEX sts_saml_assertions_expires ON sts_saml_assertions (expires);

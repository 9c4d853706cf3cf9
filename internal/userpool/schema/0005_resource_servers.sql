-- APIs that access tokens give scopes of. scopes is a list of {ScopeName, ScopeDescription}.
CREATE TABLE user_pool_resource_servers (
	pool_id    TEXT NOT NULL,
	identifier TEXT NOT NULL,
	name       TEXT NOT NULL,
	scopes     JSON NOT NULL,
	PRIMARY KEY (pool_id, identifier)
) STRICT, WITHOUT ROWID;

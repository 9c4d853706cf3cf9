-- How often the settings of a pool were changed that decide under which names its users are found and which attributes they
-- have. A write that was prepared under earlier ones is refused. No row: never.
CREATE TABLE user_pool_epochs (
	pool_id TEXT PRIMARY KEY,
	epoch   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Ids of deleted pools and the accounts that had them: whoever trusted a pool by
-- its id must not come to trust that of another account.
CREATE TABLE user_pool_former_ids (
	pool_id    TEXT PRIMARY KEY,
	account_id TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Who owns a bucket. Names are unique over the installation. A bucket is "creating" until the upstream store has it.
CREATE TABLE gateway_buckets (
	name       TEXT PRIMARY KEY,
	account_id TEXT NOT NULL,
	state      TEXT NOT NULL,         -- creating, ready
	created    BIGINT NOT NULL        -- microseconds
);
CREATE INDEX gateway_buckets_account ON gateway_buckets (account_id, name);

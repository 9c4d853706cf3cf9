-- Jobs that create users from a CSV file.
CREATE TABLE user_import_jobs (
	pool_id   TEXT NOT NULL,
	id        TEXT NOT NULL,
	name      TEXT NOT NULL,
	role_arn  TEXT NOT NULL,
	algorithm TEXT NOT NULL,    -- of the hashes of passwords; '' for none
	status    TEXT NOT NULL,    -- UserImportJobStatusType
	created   INTEGER NOT NULL,
	started   INTEGER NOT NULL, -- 0: not yet; so for completed
	completed INTEGER NOT NULL,
	bytes     INTEGER NOT NULL, -- of the uploaded file
	line      INTEGER NOT NULL, -- of the file that was read last
	imported  INTEGER NOT NULL,
	skipped   INTEGER NOT NULL,
	failed    INTEGER NOT NULL,
	message   TEXT NOT NULL,
	lease     INTEGER NOT NULL, -- until when the node that runs the job has it to itself
	PRIMARY KEY (pool_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX user_import_jobs_lease ON user_import_jobs (status, lease);

-- The uploaded files, in pieces, until their jobs have ended.
CREATE TABLE user_import_files (
	pool_id TEXT NOT NULL,
	job_id  TEXT NOT NULL,
	piece   INTEGER NOT NULL,
	sealed  BLOB NOT NULL,
	PRIMARY KEY (pool_id, job_id, piece)
) STRICT, WITHOUT ROWID;

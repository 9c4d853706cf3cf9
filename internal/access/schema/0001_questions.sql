-- Requests whose denial somebody wants explained, and the answer of the node that denied it. Rows live for about a minute.
CREATE TABLE access_questions (
	request_id TEXT PRIMARY KEY,
	asked      BIGINT NOT NULL,
	answer     TEXT
);

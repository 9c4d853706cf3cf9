-- Sign-ins whose refresh tokens are rotated: the turn of the newest token, and
-- since when it is that.
CREATE TABLE refresh_rotations (
	pool_id    TEXT NOT NULL,
	origin_jti TEXT NOT NULL,
	turn       INTEGER NOT NULL,
	since      INTEGER NOT NULL,
	expires    INTEGER NOT NULL,
	PRIMARY KEY (pool_id, origin_jti)
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_rotations_expires ON refresh_rotations (expires);

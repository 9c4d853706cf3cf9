-- Second factors and devices.

-- What SetUserPoolMfaConfig sets beside the pool's own settings.
ALTER TABLE user_pools ADD COLUMN mfa JSON NOT NULL DEFAULT '{}';

-- Authenticator apps, at most one a user.
CREATE TABLE user_software_tokens (
	pool_id TEXT NOT NULL,
	sub     TEXT NOT NULL,
	secret  BLOB,             -- shared secret, sealed; NULL until it is verified
	step    INTEGER NOT NULL, -- time step of the last accepted code: no code up to it is good
	pending BLOB,             -- secret that was handed out and not verified yet, sealed
	PRIMARY KEY (pool_id, sub)
) STRICT, WITHOUT ROWID;

-- Devices that users have confirmed.
CREATE TABLE user_devices (
	pool_id       TEXT NOT NULL,
	sub           TEXT NOT NULL,
	device_key    TEXT NOT NULL,
	name          TEXT NOT NULL,
	salt          BLOB NOT NULL,
	verifier      BLOB NOT NULL,    -- SRP verifier of the device's secret, sealed
	remembered    BOOLEAN NOT NULL,
	created       INTEGER NOT NULL,
	modified      INTEGER NOT NULL,
	authenticated INTEGER NOT NULL, -- last sign-in with it
	PRIMARY KEY (pool_id, sub, device_key)
) STRICT, WITHOUT ROWID;

package userpool

import (
	"context"

	"usher/internal/db"
)

// sweepBatch is how many rows are deleted in one transaction, so that others need not wait long for their turn to write.
const sweepBatch = 500

// expiring are the tables whose rows mean nothing once they have expired, with their keys.
var expiring = []struct{ table, key string }{
	{"user_codes", "pool_id, sub, purpose"},
	{"user_rates", "pool_id, sub, kind"},
	{"token_revocations", "pool_id, origin_jti"},
	{"refresh_rotations", "pool_id, origin_jti"},
	{"used_sessions", "id"},
	{"custom_sign_ins", "id"},
	{"user_sessions", "pool_id, sub, id"},
}

// remains are the tables that hold rows of a deleted pool, with their keys.
var remains = []struct{ table, key string }{
	{"users", "pool_id, username_key"},
	{"user_aliases", "pool_id, kind, value_key"},
	{"user_groups", "pool_id, name"},
	{"user_group_members", "pool_id, username_key, group_name"},
	{"user_codes", "pool_id, sub, purpose"},
	{"user_rates", "pool_id, sub, kind"},
	{"user_software_tokens", "pool_id, sub"},
	{"user_devices", "pool_id, sub, device_key"},
	{"user_recovery_codes", "pool_id, sub, hash"},
	{"user_pool_epochs", "pool_id"},
	{"user_passkeys", "pool_id, sub, credential_id"},
	{"token_revocations", "pool_id, origin_jti"},
	{"refresh_rotations", "pool_id, origin_jti"},
	{"user_pool_resource_servers", "pool_id, identifier"},
	{"user_pool_session_settings", "pool_id, client_id"},
	{"user_sessions", "pool_id, sub, id"},
	{"user_pool_provider_identifiers", "pool_id, identifier"},
	{"user_identities", "pool_id, provider, attribute, value"},
	{"user_import_jobs", "pool_id, id"},
	{"user_import_files", "pool_id, job_id, piece"},
}

// Sweep deletes what has expired, such as codes, revocations and used sessions, and what deleted pools left behind. The
// server calls it every few minutes; nothing depends on when.
func (s *Service) Sweep(ctx context.Context) error {
	for _, t := range expiring {
		if err := s.sweep(ctx, t.table, t.key, `expires <= $1`, s.now()); err != nil {
			return err
		}
	}
	if err := s.sweepKeys(ctx); err != nil {
		return err
	}
	if err := s.sweepImports(ctx); err != nil {
		return err
	}
	pools, err := db.All[string](ctx, s.DB, `SELECT pool_id FROM user_pool_remains ORDER BY pool_id LIMIT 100`)
	if err != nil {
		return err
	}
	for _, id := range pools {
		for _, t := range remains {
			if err := s.sweep(ctx, t.table, t.key, `pool_id = $1`, id); err != nil {
				return err
			}
		}
		err := s.DB.Tx(ctx, func(tx *db.Tx) error {
			_, err := tx.ExecContext(ctx, `DELETE FROM user_pool_remains WHERE pool_id = $1`, id)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// sweep deletes the rows of a table under a condition, batch after batch.
func (s *Service) sweep(ctx context.Context, table, key, where string, arg any) error {
	for n := int64(sweepBatch); n == sweepBatch; {
		// A look first, since most of the time there is nothing to write.
		if found, err := hasRow(ctx, s.DB, `SELECT 1 FROM `+table+` WHERE `+where+` LIMIT 1`, arg); err != nil || !found {
			return err
		}
		err := s.DB.Tx(ctx, func(tx *db.Tx) error {
			res, err := tx.ExecContext(ctx, `DELETE FROM `+table+` WHERE (`+key+`) IN (SELECT `+key+` FROM `+table+` WHERE `+where+` LIMIT $2)`,
				arg, sweepBatch)
			if err != nil {
				return err
			}
			n, err = res.RowsAffected()
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

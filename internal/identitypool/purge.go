package identitypool

import (
	"context"
	"time"

	"usher/internal/db"
)

const (
	purgedAtOnce = 200              // identities that one transaction deletes, so that others need not wait long
	purgeAfter   = 20 * time.Minute // a pool counts as gone: no request that began before its deletion still adds to it
)

// Sweep deletes the identities of pools that were deleted and looks after the signing keys. It is to be called every few
// minutes.
func (s *Service) Sweep(ctx context.Context) error {
	if err := s.sweepKeys(ctx); err != nil {
		return err
	}
	type row struct {
		PoolID  string
		Deleted int64
	}
	pools, err := db.All[row](ctx, s.DB, `SELECT pool_id, deleted FROM identity_purges ORDER BY deleted LIMIT 1000`)
	if err != nil {
		return err
	}
	for _, p := range pools {
		for n := int64(purgedAtOnce); n == purgedAtOnce; {
			err := s.DB.Tx(ctx, func(tx *db.Tx) error {
				const some = `(SELECT id FROM identities WHERE pool_id = $1 ORDER BY id LIMIT $2)`
				if _, err := tx.ExecContext(ctx, `DELETE FROM identity_logins WHERE identity_id IN `+some, p.PoolID, purgedAtOnce); err != nil {
					return err
				}
				res, err := tx.ExecContext(ctx, `DELETE FROM identities WHERE id IN `+some, p.PoolID, purgedAtOnce)
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
		if s.Now().Sub(timeOf(p.Deleted)) < purgeAfter {
			continue
		}
		if err := s.DB.Tx(ctx, func(tx *db.Tx) error {
			_, err := tx.ExecContext(ctx, `DELETE FROM identity_purges WHERE pool_id = $1`, p.PoolID)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

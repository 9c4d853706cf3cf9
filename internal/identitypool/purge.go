package identitypool

import (
	"context"
	"time"

	"usher/internal/db"
)

const (
	purgedAtOnce = 200              // identities that one transaction deletes, so that others need not wait long
	purgeEvery   = 10 * time.Minute // unless a pool is deleted
	purgeAfter   = 20 * time.Minute // a pool counts as gone: no request that began before its deletion still adds to it
)

// Run deletes the identities of deleted pools until ctx ends.
func (s *Service) Run(ctx context.Context) {
	ticker := time.NewTicker(purgeEvery)
	defer ticker.Stop()
	for {
		if err := s.purge(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error("deleting the identities of deleted identity pools", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-s.purges:
		}
	}
}

// purge deletes what is there now.
func (s *Service) purge(ctx context.Context) error {
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
				res, err := tx.ExecContext(ctx, `DELETE FROM identities WHERE id IN (SELECT id FROM identities WHERE pool_id = $1 ORDER BY id LIMIT $2)`, p.PoolID, purgedAtOnce)
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

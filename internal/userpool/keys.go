package userpool

import (
	"context"
	"crypto/rand"
	"fmt"

	"usher/internal/db"
	"usher/internal/token"
)

// poolKeys are the keys of a pool: one RSA key for each kind of token, as on AWS, and a secret that keys the hashes of codes
// and makes up unknown users. They are kept in memory with the pool.
type poolKeys struct {
	id, access *token.KeyPair
	secret     []byte
	// What is published of them.
	jwks, configuration []byte
}

// newPoolKeys makes the keys of a new pool. It takes some hundred milliseconds: call it before the transaction.
func (s *Service) newPoolKeys(*pool) (*poolKeys, error) {
	k := &poolKeys{secret: make([]byte, 32)}
	rand.Read(k.secret)
	var err error
	if k.id, err = token.NewKeyPair(); err != nil {
		return nil, err
	}
	k.access, err = token.NewKeyPair()
	return k, err
}

const (
	useID     = "id"
	useAccess = "access"
	useSecret = "secret" // its kid is the same
)

// insertPoolKeys stores the keys of a new pool.
func (s *Service) insertPoolKeys(ctx context.Context, tx *db.Tx, p *pool, k *poolKeys) error {
	id, err := k.id.MarshalPKCS8()
	if err != nil {
		return err
	}
	access, err := k.access.MarshalPKCS8()
	if err != nil {
		return err
	}
	for _, row := range []struct {
		kid, use string
		key      []byte
	}{{k.id.ID(), useID, id}, {k.access.ID(), useAccess, access}, {useSecret, useSecret, k.secret}} {
		_, err := tx.ExecContext(ctx, `INSERT INTO user_pool_keys (pool_id, kid, use, created, sealed) VALUES ($1, $2, $3, $4, $5)`,
			p.ID, row.kid, row.use, s.now(), s.Seal.Box(boxKey).Seal(row.key, keyOwner(p.ID, row.kid)))
		if err != nil {
			return err
		}
	}
	return nil
}

type keyRow struct {
	Kid, Use string
	Sealed   []byte
}

func keyOwner(poolID, kid string) []byte { return []byte(poolID + "/" + kid) }

// readKeys reads the keys of a pool.
func (s *Service) readKeys(ctx context.Context, poolID string) (*poolKeys, error) {
	rows, err := db.All[keyRow](ctx, s.DB, `SELECT kid, use, sealed FROM user_pool_keys WHERE pool_id = $1 ORDER BY created`, poolID)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, errPoolNotFound(poolID) // deleted since it was read
	}
	k := &poolKeys{}
	for _, row := range rows {
		key, err := s.Seal.Box(boxKey).Open(row.Sealed, keyOwner(poolID, row.Kid))
		if err != nil {
			return nil, fmt.Errorf("userpool: key %s of pool %s: %w", row.Kid, poolID, err)
		}
		switch row.Use {
		case useID:
			k.id, err = token.ParseKeyPair(key)
		case useAccess:
			k.access, err = token.ParseKeyPair(key)
		case useSecret:
			k.secret = key
		}
		if err != nil {
			return nil, fmt.Errorf("userpool: key %s of pool %s: %w", row.Kid, poolID, err)
		}
	}
	if k.id == nil || k.access == nil || k.secret == nil {
		return nil, fmt.Errorf("userpool: pool %s lacks keys", poolID)
	}
	k.jwks, k.configuration = token.JWKS(k.id.Public(), k.access.Public()), s.configuration(poolID)
	return k, nil
}

// VerificationKeys returns the public keys that tokens of a pool are signed with. An unknown pool is
// cognitoidp.ErrResourceNotFound.
func (s *Service) VerificationKeys(ctx context.Context, poolID string) ([]token.PublicKey, error) {
	p, err := s.pool(ctx, poolID)
	if err != nil {
		return nil, err
	}
	return []token.PublicKey{p.keys.id.Public(), p.keys.access.Public()}, nil
}

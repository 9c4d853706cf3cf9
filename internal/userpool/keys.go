package userpool

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"usher/internal/api/cognitoidp"
	"usher/internal/db"
	"usher/internal/token"
)

// poolKeys are the keys of a pool: one RSA key for each kind of token, as on AWS, and a secret that keys the hashes of codes
// and makes up unknown users. They are kept in memory with the pool.
type poolKeys struct {
	pairs  []keyPair // oldest first, at least one
	secret []byte
	// What is published of them.
	jwks, configuration []byte
}

// keyPair is the keys that sign tokens for a time. Rotation adds a pair: it is published at once and signs from keyLead
// later; the pair before it verifies until the last token that it has signed has expired.
type keyPair struct {
	created    int64
	id, access *token.KeyPair
}

const (
	// keyLead is how long a key is published before it signs: twice as long as documents of keys may be cached.
	keyLead = 10 * time.Minute
	// keyRest is how long a key verifies after it has signed for the last time, with time for the clocks of others.
	keyRest = longestToken + 10*time.Minute

	maxKeyPairs = 10
)

// at returns the keys that sign at a time.
func (k *poolKeys) at(now time.Time) *keyPair {
	for i := len(k.pairs) - 1; i > 0; i-- {
		if pair := &k.pairs[i]; pair.created+keyLead.Microseconds() <= now.UnixMicro() {
			return pair
		}
	}
	return &k.pairs[0]
}

// accessKey returns the key for access tokens with an id.
func (k *poolKeys) accessKey(id string) (token.PublicKey, bool) {
	for _, pair := range k.pairs {
		if key := pair.access.Public(); key.ID == id {
			return key, true
		}
	}
	return token.PublicKey{}, false
}

// public returns all keys that tokens may be signed with.
func (k *poolKeys) public() []token.PublicKey {
	var keys []token.PublicKey
	for _, pair := range k.pairs {
		keys = append(keys, pair.id.Public(), pair.access.Public())
	}
	return keys
}

// newPoolKeys makes the keys of a new pool. It takes some hundred milliseconds: call it before the transaction.
func (s *Service) newPoolKeys(*pool) (*poolKeys, error) {
	k := &poolKeys{secret: make([]byte, 32)}
	rand.Read(k.secret)
	pair, err := newKeyPair()
	k.pairs = []keyPair{pair}
	return k, err
}

func newKeyPair() (k keyPair, err error) {
	if k.id, err = token.NewKeyPair(); err != nil {
		return k, err
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
	now := s.now()
	if err := s.insertKey(ctx, tx, p.ID, useSecret, useSecret, now, k.secret); err != nil {
		return err
	}
	return s.insertKeyPair(ctx, tx, p.ID, k.pairs[0], now)
}

func (s *Service) insertKeyPair(ctx context.Context, tx *db.Tx, poolID string, pair keyPair, created int64) error {
	for use, key := range map[string]*token.KeyPair{useID: pair.id, useAccess: pair.access} {
		plain, err := key.MarshalPKCS8()
		if err != nil {
			return err
		}
		if err := s.insertKey(ctx, tx, poolID, key.ID(), use, created, plain); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) insertKey(ctx context.Context, tx *db.Tx, poolID, kid, use string, created int64, plain []byte) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO user_pool_keys (pool_id, kid, use, created, sealed) VALUES ($1, $2, $3, $4, $5)`,
		poolID, kid, use, created, s.Seal.Box(boxKey).Seal(plain, keyOwner(poolID, kid)))
	return err
}

// RotateKeys gives a pool, of whichever account, new keys. Tokens that were issued stay valid, and the new keys sign when
// everybody has had the time to fetch them. With discard they sign at once and the former keys are forgotten, as are the
// tokens that they have signed: for when one has become known.
func (s *Service) RotateKeys(ctx context.Context, poolID string, discard bool) error {
	return s.rotateKeys(ctx, poolID, discard, math.MaxInt64)
}

// rotateKeys is RotateKeys if the newest keys are as old as due.
func (s *Service) rotateKeys(ctx context.Context, poolID string, discard bool, due int64) error {
	if _, err := s.pool(ctx, poolID); err != nil {
		return err
	}
	pair, err := newKeyPair()
	if err != nil {
		return err
	}
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		if _, err := readPool(ctx, tx, poolID); err != nil {
			return err
		}
		// The pool's row keeps two rotations apart.
		if _, err := tx.ExecContext(ctx, `UPDATE user_pools SET rev = rev + 1 WHERE id = $1`, poolID); err != nil {
			return err
		}
		former, err := db.All[int64](ctx, tx, `SELECT created FROM user_pool_keys WHERE pool_id = $1 AND use = $2 ORDER BY created DESC`, poolID, useAccess)
		if err != nil {
			return err
		}
		now := s.now()
		if len(former) > 0 {
			if former[0] > due {
				return nil
			}
			now = max(now, former[0]+1)
		}
		if discard {
			if _, err := tx.ExecContext(ctx, `DELETE FROM user_pool_keys WHERE pool_id = $1 AND use <> $2`, poolID, useSecret); err != nil {
				return err
			}
		} else if len(former) >= maxKeyPairs {
			return fmt.Errorf("user pool %s has %d pairs of keys already, whose tokens have not expired", poolID, maxKeyPairs)
		}
		tx.Invalidate(poolScope(poolID))
		return s.insertKeyPair(ctx, tx, poolID, pair, now)
	})
}

// sweepKeys forgets keys whose last tokens have expired, and rotates those that are as old as KeyLife.
func (s *Service) sweepKeys(ctx context.Context) error {
	rested := s.Now().Add(-keyLead - keyRest).UnixMicro()
	pools, err := db.All[string](ctx, s.DB, `SELECT DISTINCT k.pool_id FROM user_pool_keys k WHERE k.use = $1 AND EXISTS (SELECT 1 FROM user_pool_keys n
		WHERE n.pool_id = k.pool_id AND n.use = $1 AND n.created > k.created AND n.created <= $2)`, useAccess, rested)
	if err != nil {
		return err
	}
	for _, id := range pools {
		err := s.DB.Tx(ctx, func(tx *db.Tx) error {
			tx.Invalidate(poolScope(id))
			_, err := tx.ExecContext(ctx, `DELETE FROM user_pool_keys WHERE pool_id = $1 AND use <> $2 AND created <
				(SELECT max(n.created) FROM user_pool_keys n WHERE n.pool_id = $1 AND n.use = $3 AND n.created <= $4)`, id, useSecret, useAccess, rested)
			return err
		})
		if err != nil {
			return err
		}
	}
	if s.KeyLife == 0 {
		return nil
	}
	due := s.Now().Add(-s.KeyLife).UnixMicro()
	pools, err = db.All[string](ctx, s.DB, `SELECT pool_id FROM user_pool_keys WHERE use = $1 GROUP BY pool_id HAVING max(created) <= $2`, useAccess, due)
	if err != nil {
		return err
	}
	for _, id := range pools {
		if err := s.rotateKeys(ctx, id, false, due); err != nil && !errors.Is(err, cognitoidp.ErrResourceNotFound) {
			return err
		}
	}
	return nil
}

type keyRow struct {
	Kid, Use string
	Created  int64
	Sealed   []byte
}

func keyOwner(poolID, kid string) []byte { return []byte(poolID + "/" + kid) }

// readKeys reads the keys of a pool.
func (s *Service) readKeys(ctx context.Context, poolID string) (*poolKeys, error) {
	rows, err := db.All[keyRow](ctx, s.DB, `SELECT kid, use, created, sealed FROM user_pool_keys WHERE pool_id = $1 ORDER BY created`, poolID)
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
		if row.Use == useSecret {
			k.secret = key
			continue
		}
		if n := len(k.pairs); n == 0 || k.pairs[n-1].created != row.Created {
			k.pairs = append(k.pairs, keyPair{created: row.Created})
		}
		pair := &k.pairs[len(k.pairs)-1]
		switch row.Use {
		case useID:
			pair.id, err = token.ParseKeyPair(key)
		case useAccess:
			pair.access, err = token.ParseKeyPair(key)
		}
		if err != nil {
			return nil, fmt.Errorf("userpool: key %s of pool %s: %w", row.Kid, poolID, err)
		}
	}
	if len(k.pairs) == 0 || k.secret == nil || slices.ContainsFunc(k.pairs, func(p keyPair) bool { return p.id == nil || p.access == nil }) {
		return nil, fmt.Errorf("userpool: pool %s lacks keys", poolID)
	}
	k.jwks, k.configuration = token.JWKS(k.public()...), s.configuration(poolID)
	return k, nil
}

// VerificationKeys returns the public keys that tokens of a pool are signed with. An unknown pool is
// cognitoidp.ErrResourceNotFound.
func (s *Service) VerificationKeys(ctx context.Context, poolID string) ([]token.PublicKey, error) {
	p, err := s.pool(ctx, poolID)
	if err != nil {
		return nil, err
	}
	return p.keys.public(), nil
}

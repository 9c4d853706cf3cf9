package userpool

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"time"

	"usher/internal/db"
	"usher/internal/ids"
)

// codeKind is what a one-time code is for. A user has at most one live code of each kind; a new one replaces it.
type codeKind struct {
	purpose string
	life    time.Duration
	send    limit // on messages
	try     limit // on answers
}

// limit bounds how often in an hour a user may do something. Limits of one name are counted together.
type limit struct {
	name string
	max  int64
}

// Lifetimes and rates of the developer guide, "Quotas on user account actions".
var (
	codeSignUp         = codeKind{"sign-up", 24 * time.Hour, limit{"send-sign-up", 5}, limit{"try-sign-up", 15}}
	codeEmail          = codeKind{"verify-email", 24 * time.Hour, limit{"send-verify-email", 5}, limit{"try-verify-email", 15}}
	codePhone          = codeKind{"verify-phone_number", 24 * time.Hour, limit{"send-verify-phone_number", 5}, limit{"try-verify-phone_number", 15}}
	codeForgotPassword = codeKind{"forgot-password", time.Hour, limit{"forgot-password", 20}, limit{"forgot-password", 20}}
	changesOfPassword  = limit{"change-password", 5}
	unlimited          = limit{} // of administrators
)

// verification is the kind of code that proves possession of an attribute: email or phone_number.
func verification(attribute string) codeKind {
	if attribute == "phone_number" {
		return codePhone
	}
	return codeEmail
}

// spend counts one use of a limit, and returns errAttemptLimit when it is used up.
func (s *Service) spend(ctx context.Context, tx *db.Tx, p *pool, sub string, l limit) error {
	now := s.Now()
	n, err := db.One[int64](ctx, tx, `INSERT INTO user_rates (pool_id, sub, kind, count, expires) VALUES ($1, $2, $3, 1, $4)
		ON CONFLICT (pool_id, sub, kind) DO UPDATE SET
			count = CASE WHEN user_rates.expires <= $5 THEN 1 ELSE user_rates.count + 1 END,
			expires = CASE WHEN user_rates.expires <= $5 THEN excluded.expires ELSE user_rates.expires END
		RETURNING count`, p.ID, sub, l.name, now.Add(time.Hour).UnixMicro(), now.UnixMicro())
	if err == nil && n > l.max {
		err = errAttemptLimit
	}
	return err
}

// newCode makes the user's code of a kind for the attribute value at to; it takes the place of an older one. The caller
// has spent the limit on sending.
func (s *Service) newCode(ctx context.Context, tx *db.Tx, p *pool, sub string, kind codeKind, to delivery) (string, error) {
	code, now := ids.Code(), s.Now()
	_, err := tx.ExecContext(ctx, `INSERT INTO user_codes (pool_id, sub, purpose, hash, attribute, value, created, expires) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (pool_id, sub, purpose) DO UPDATE SET hash = excluded.hash, attribute = excluded.attribute, value = excluded.value,
			created = excluded.created, expires = excluded.expires`,
		p.ID, sub, kind.purpose, p.keys.codeHash(sub, kind, code), to.attribute, to.target, now.UnixMicro(), now.Add(kind.life).UnixMicro())
	return code, err
}

type codeRow struct {
	Hash      []byte // nil: there is no code
	Attribute string
	Value     string
	Expires   int64
	Tries     int64 // in this hour
}

// readCode reads the user's code of a kind, and how many answers were tried.
func (s *Service) readCode(ctx context.Context, q db.Querier, p *pool, sub string, kind codeKind) (codeRow, error) {
	return db.One[codeRow](ctx, q, `SELECT c.hash, COALESCE(c.attribute, ''), COALESCE(c.value, ''), COALESCE(c.expires, 0), COALESCE(r.count, 0)
		FROM (SELECT 1 AS one) AS o
		LEFT JOIN user_codes c ON c.pool_id = $1 AND c.sub = $2 AND c.purpose = $3
		LEFT JOIN user_rates r ON r.pool_id = $1 AND r.sub = $2 AND r.kind = $4 AND r.expires > $5`, p.ID, sub, kind.purpose, kind.try.name, s.now())
}

// isCode reports whether takeCode would take code. It counts nothing: whoever is told must have called takeCode.
func (s *Service) isCode(ctx context.Context, p *pool, sub string, kind codeKind, code string) (bool, error) {
	row, err := s.readCode(ctx, s.DB, p, sub, kind)
	return err == nil && row.Tries < kind.try.max && row.fits(p.keys.codeHash(sub, kind, code), s.now()), err
}

// fits reports whether the row's code is live and has the hash.
func (row *codeRow) fits(hash []byte, now int64) bool {
	return now < row.Expires && subtle.ConstantTimeCompare(row.Hash, hash) == 1
}

// takeCode consumes the user's live code if it is code, and returns where that had been sent. A wrong one is counted:
// refusal is the answer to the caller, and the transaction must commit for the count to hold.
func (s *Service) takeCode(ctx context.Context, tx *db.Tx, p *pool, sub string, kind codeKind, code string) (from delivery, refusal, err error) {
	row, err := s.readCode(ctx, tx, p, sub, kind)
	if err != nil {
		return from, nil, err
	}
	if row.Tries >= kind.try.max {
		return from, errAttemptLimit, nil
	}
	if row.fits(p.keys.codeHash(sub, kind, code), s.now()) {
		return delivery{row.Attribute, row.Value}, nil, dropCode(ctx, tx, p, sub, kind)
	}
	refusal = errCodeMismatch
	if row.Hash == nil || s.now() >= row.Expires {
		refusal = errCodeExpired
	}
	return from, refusal, s.spend(ctx, tx, p, sub, kind.try)
}

func dropCode(ctx context.Context, tx *db.Tx, p *pool, sub string, kind codeKind) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM user_codes WHERE pool_id = $1 AND sub = $2 AND purpose = $3`, p.ID, sub, kind.purpose)
	return err
}

// codeHash is what is kept of a code. It is keyed with the pool's secret: to whoever reads the table a million codes would
// be no obstacle.
func (k *poolKeys) codeHash(sub string, kind codeKind, code string) []byte {
	return k.mac("code", kind.purpose, sub, code)
}

// mac binds parts to the pool's secret; they are kept apart by their lengths.
func (k *poolKeys) mac(parts ...string) []byte {
	h := hmac.New(sha256.New, k.secret)
	var w packer
	for _, part := range parts {
		w.text(part)
	}
	h.Write(w)
	return h.Sum(nil)
}

package identitypool

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"usher/internal/db"
	"usher/internal/token"
)

// signingKeys are the keys of the OpenID tokens, kept in memory. Rotation adds a key: it is published at once and signs from
// keyLead later; the key before it verifies until the last token that it has signed has expired.
type signingKeys struct {
	keys   []signingKey // oldest first, at least one
	public []token.PublicKey
	jwks   []byte
}

type signingKey struct {
	created int64
	pair    *token.KeyPair
}

const (
	scopeKeys = "identity-keys"

	// keyLead is how long a key is published before it signs: twice as long as the documents may be cached.
	keyLead = 10 * time.Minute
	// keyRest is how long a key verifies after it has signed for the last time, with time for the clocks of others.
	keyRest = developerTokenMost + 10*time.Minute

	keysMost = 10
)

// at returns the key that signs at a time.
func (k *signingKeys) at(now time.Time) *token.KeyPair {
	for i := len(k.keys) - 1; i > 0; i-- {
		if key := &k.keys[i]; key.created+keyLead.Microseconds() <= now.UnixMicro() {
			return key.pair
		}
	}
	return k.keys[0].pair
}

type keyRow struct {
	Kid     string
	Created int64
	Sealed  []byte
}

func (s *Service) signingKeys(ctx context.Context) (*signingKeys, error) {
	return s.keys.Get(ctx, struct{}{}, scopeKeys, func(ctx context.Context) (*signingKeys, error) {
		rows, err := db.All[keyRow](ctx, s.DB, `SELECT kid, created, sealed FROM identity_keys ORDER BY created LIMIT 100`)
		if err != nil {
			return nil, err
		}
		if len(rows) == 0 {
			return nil, fmt.Errorf("identity pools: there is no signing key")
		}
		k := &signingKeys{}
		for _, row := range rows {
			pkcs8, err := s.keyBox.Open(row.Sealed, []byte(row.Kid))
			if err != nil {
				return nil, fmt.Errorf("identity pools: signing key %s: %w", row.Kid, err)
			}
			key, err := token.ParseKeyPair(pkcs8)
			if err != nil {
				return nil, fmt.Errorf("identity pools: signing key %s: %w", row.Kid, err)
			}
			pair := key.As(row.Kid, "JWS", "RS512") // AWS's form
			k.keys, k.public = append(k.keys, signingKey{row.Created, pair}), append(k.public, pair.Public())
		}
		k.jwks = token.JWKS(k.public...)
		return k, nil
	})
}

// VerificationKeys returns the keys that the tokens are verified with.
func (s *Service) VerificationKeys(ctx context.Context) ([]token.PublicKey, error) {
	k, err := s.signingKeys(ctx)
	if err != nil {
		return nil, err
	}
	return k.public, nil
}

// firstKey makes a key where there is none.
func (s *Service) firstKey(ctx context.Context) error {
	n, err := db.One[int64](ctx, s.DB, `SELECT COUNT(*) FROM identity_keys`)
	if err != nil || n > 0 {
		return err
	}
	if err := s.rotateKeys(ctx, false, math.MinInt64); err != nil {
		return err
	}
	_, err = s.signingKeys(ctx)
	return err
}

// RotateKeys makes a new signing key. Tokens that were issued stay valid, and the new key signs when everybody has had the
// time to fetch it. With discard it signs at once and the former keys are forgotten, as are the tokens that they have signed:
// for when one has become known.
func (s *Service) RotateKeys(ctx context.Context, discard bool) error {
	return s.rotateKeys(ctx, discard, math.MaxInt64)
}

// rotateKeys is RotateKeys if the newest key, if there is one, is as old as due.
func (s *Service) rotateKeys(ctx context.Context, discard bool, due int64) error {
	key, err := token.NewKeyPair()
	if err != nil {
		return err
	}
	pkcs8, err := key.MarshalPKCS8()
	if err != nil {
		return err
	}
	rotate := func(tx *db.Tx) error {
		rows, err := db.All[keyRow](ctx, tx, `SELECT kid, created, sealed FROM identity_keys ORDER BY created DESC`)
		if err != nil {
			return err
		}
		number, created := 0, s.Now().UnixMicro()
		if len(rows) > 0 {
			if rows[0].Created > due {
				return nil
			}
			created = max(created, rows[0].Created+1)
		}
		for _, row := range rows { // region and number, as AWS's
			n, _ := strconv.Atoi(row.Kid[strings.LastIndexByte(row.Kid, '-')+1:])
			number = max(number, n)
		}
		if discard {
			if _, err := tx.ExecContext(ctx, `DELETE FROM identity_keys`); err != nil {
				return err
			}
		} else if len(rows) >= keysMost {
			return fmt.Errorf("identity pools have %d signing keys already, whose tokens have not expired", keysMost)
		}
		tx.Invalidate(scopeKeys)
		kid := s.Region + "-" + strconv.Itoa(number+1)
		_, err = tx.ExecContext(ctx, `INSERT INTO identity_keys (kid, created, sealed) VALUES ($1, $2, $3)`, kid, created, s.keyBox.Seal(pkcs8, []byte(kid)))
		return err
	}
	err = s.DB.Tx(ctx, rotate)
	if db.IsUnique(err) { // another node was faster; who asked for a new key gets one all the same
		err = s.DB.Tx(ctx, rotate)
	}
	return err
}

// sweepKeys forgets keys whose last tokens have expired, and rotates the newest when it is as old as KeyLife.
func (s *Service) sweepKeys(ctx context.Context) error {
	rested := s.Now().Add(-keyLead - keyRest).UnixMicro()
	const old = `created < (SELECT MAX(created) FROM identity_keys WHERE created <= $1)`
	n, err := db.One[int64](ctx, s.DB, `SELECT COUNT(*) FROM identity_keys WHERE `+old, rested)
	if err == nil && n > 0 {
		err = s.DB.Tx(ctx, func(tx *db.Tx) error {
			tx.Invalidate(scopeKeys)
			_, err := tx.ExecContext(ctx, `DELETE FROM identity_keys WHERE `+old, rested)
			return err
		})
	}
	if err != nil || s.KeyLife == 0 {
		return err
	}
	due := s.Now().Add(-s.KeyLife).UnixMicro()
	newest, err := db.One[int64](ctx, s.DB, `SELECT MAX(created) FROM identity_keys`)
	if err != nil || newest > due {
		return err
	}
	return s.rotateKeys(ctx, false, due)
}

// Discovery serves the discovery document (OpenID Connect Discovery 1.0) and the key set below /identity/.well-known/. The
// key set has two names: AWS's own, jwks_uri, and the usual.
func (s *Service) Discovery() http.Handler {
	document, err := json.Marshal(struct {
		Issuer        string   `json:"issuer"`
		JWKS          string   `json:"jwks_uri"`
		ResponseTypes []string `json:"response_types_supported"`
		SubjectTypes  []string `json:"subject_types_supported"`
		Algorithms    []string `json:"id_token_signing_alg_values_supported"`
	}{s.IssuerURL(), s.PublicURL + "/identity/.well-known/jwks_uri", []string{"id_token"}, []string{"public"}, []string{"RS512"}})
	if err != nil {
		panic(err) // strings always encode
	}
	mux := http.NewServeMux()
	serve := func(name string, body func(*http.Request) ([]byte, error)) {
		mux.HandleFunc("GET /identity/.well-known/"+name, func(w http.ResponseWriter, r *http.Request) {
			text, err := body(r)
			if err != nil {
				s.Log.ErrorContext(r.Context(), "discovery", "path", r.URL.Path, "error", err)
				http.Error(w, "internal error", http.StatusInternalServerError)
				return
			}
			h := w.Header()
			h.Set("Content-Type", "application/json")
			h.Set("Cache-Control", "public, max-age=300")
			h.Set("Access-Control-Allow-Origin", "*")
			w.Write(text)
		})
	}
	serve("openid-configuration", func(*http.Request) ([]byte, error) { return document, nil })
	for _, name := range []string{"jwks_uri", "jwks.json"} {
		serve(name, func(r *http.Request) ([]byte, error) {
			k, err := s.signingKeys(r.Context())
			if err != nil {
				return nil, err
			}
			return k.jwks, nil
		})
	}
	return mux
}

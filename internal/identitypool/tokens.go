package identitypool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	api "usher/internal/api/cognitoidentity"
	"usher/internal/db"
	"usher/internal/token"
)

// Keys have AWS's form: RS512, a typ, and an id of region and number.
func asSigningKey(k *token.KeyPair, kid string) *token.KeyPair { return k.As(kid, "JWS", "RS512") }

// loadKeys reads the signing keys and makes the first.
func (s *Service) loadKeys(ctx context.Context) error {
	type keyRow struct {
		Kid    string
		Sealed []byte
	}
	read := func() ([]keyRow, error) {
		return db.All[keyRow](ctx, s.DB, `SELECT kid, sealed FROM identity_keys ORDER BY created DESC, kid LIMIT 100`)
	}
	rows, err := read()
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		if err := s.newKey(ctx); err != nil {
			return err
		}
		if rows, err = read(); err != nil { // another node may have been first
			return err
		}
	}
	for _, row := range rows {
		pkcs8, err := s.keyBox.Open(row.Sealed, []byte(row.Kid))
		if err != nil {
			return fmt.Errorf("identity pools: signing key %s: %w", row.Kid, err)
		}
		key, err := token.ParseKeyPair(pkcs8)
		if err != nil {
			return err
		}
		s.keys = append(s.keys, asSigningKey(key, row.Kid))
	}
	return nil
}

func (s *Service) newKey(ctx context.Context) error {
	key, err := token.NewKeyPair()
	if err != nil {
		return err
	}
	pkcs8, err := key.MarshalPKCS8()
	if err != nil {
		return err
	}
	kid := s.Region + "-1"
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO identity_keys (kid, created, sealed) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
			kid, s.Now().UnixMicro(), s.keyBox.Seal(pkcs8, []byte(kid)))
		return err
	})
}

// IssuerURL is the iss of the tokens.
func (s *Service) IssuerURL() string { return s.names.issuers[0] }

// IsIssuer reports whether tokens with this iss are of this service.
func (s *Service) IsIssuer(iss string) bool { return slices.Contains(s.names.issuers, iss) }

// VerificationKeys returns the keys that the tokens are verified with.
func (s *Service) VerificationKeys(context.Context) ([]token.PublicKey, error) {
	return s.publicKeys(), nil
}

func (s *Service) publicKeys() []token.PublicKey {
	keys := make([]token.PublicKey, len(s.keys))
	for i, k := range s.keys {
		keys[i] = k.Public()
	}
	return keys
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
	keys := token.JWKS(s.publicKeys()...)
	mux := http.NewServeMux()
	for name, body := range map[string][]byte{"openid-configuration": document, "jwks_uri": keys, "jwks.json": keys} {
		mux.HandleFunc("GET /identity/.well-known/"+name, func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h.Set("Content-Type", "application/json")
			h.Set("Cache-Control", "public, max-age=3600")
			h.Set("Access-Control-Allow-Origin", "*")
			w.Write(body)
		})
	}
	return mux
}

// openIDTokenLife is how long the token of GetOpenIdToken is valid.
const openIDTokenLife = 10 * time.Minute

// claimTags carries session tags (IAM User Guide, "Pass session tags in AWS STS").
const claimTags = "https://aws.amazon.com/tags"

type principalTagsClaim struct {
	Tags map[string][]string `json:"principal_tags"`
}

// issue signs the OpenID token of an identity.
func (s *Service) issue(ctx context.Context, p *pool, id string, methods []string, tags map[string]string, life time.Duration) (string, error) {
	now := s.Now().Unix()
	claims := struct {
		Subject  string              `json:"sub"`
		Audience string              `json:"aud"`
		AMR      []string            `json:"amr"`
		Tags     *principalTagsClaim `json:"https://aws.amazon.com/tags,omitempty"`
		Issuer   string              `json:"iss"`
		PoolARN  string              `json:"https://cognito-identity.amazonaws.com/identity-pool-arn"`
		Expires  int64               `json:"exp"`
		Issued   int64               `json:"iat"`
	}{id, p.ID, methods, nil, s.IssuerURL(), s.poolARN(p.AccountID, p.ID), now + int64(life/time.Second), now}
	if len(tags) > 0 {
		claims.Tags = &principalTagsClaim{map[string][]string{}}
		for k, v := range tags {
			claims.Tags.Tags[k] = []string{v}
		}
	}
	text, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed, err := s.Signer.Sign(ctx, []token.Job{{Key: s.keys[0], Claims: text}})
	if errors.Is(err, token.ErrOverloaded) {
		return "", api.ErrTooManyRequests.Msg("Rate exceeded").With(err)
	} else if err != nil {
		return "", err
	}
	return signed[0], nil
}

package iam

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"strings"

	"usher/internal/api/iam"
	"usher/internal/db"
	"usher/internal/ids"
)

// Outbound identity federation: an account is an OpenID Connect issuer of tokens that tell others who its users and roles
// are (IAM User Guide, "Federating AWS identities to external services"). STS issues the tokens.

// OutboundIssuer is an account as an issuer.
type OutboundIssuer struct {
	URL     string // iss
	Enabled bool
}

func outboundScope(account string) string { return "iam/outbound/" + account }

const outboundKeysScope = "iam/outbound-keys"

func (s *Service) outboundURL(id string) string { return s.OutboundURL + "/" + id }

// OutboundIssuer returns the issuer of an account; its URL is empty if the account has never been one.
func (s *Service) OutboundIssuer(ctx context.Context, account string) (OutboundIssuer, error) {
	return s.issuers.Get(ctx, account, outboundScope(account), func(ctx context.Context) (OutboundIssuer, error) {
		type row struct {
			ID      string
			Enabled int64
		}
		r, err := db.One[row](ctx, s.DB, `SELECT id, enabled FROM iam_outbound_issuers WHERE account_id = $1`, account)
		if err != nil {
			return OutboundIssuer{}, ignoreNotFound(err)
		}
		return OutboundIssuer{URL: s.outboundURL(r.ID), Enabled: r.Enabled != 0}, nil
	})
}

// OutboundIssuerURL returns the issuer whose URL ends in an id, for its discovery document; db.ErrNotFound if there is none.
// An account that issues no tokens any more still has one: the last of them are valid yet.
func (s *Service) OutboundIssuerURL(ctx context.Context, id string) (string, error) {
	id, err := db.One[string](ctx, s.DB, `SELECT id FROM iam_outbound_issuers WHERE id = $1`, id)
	return s.outboundURL(id), err
}

// OutboundKey is a key that tokens of outbound federation are signed with.
type OutboundKey struct {
	ID        string
	Algorithm string // RS256 or ES384
	Key       crypto.Signer
}

// OutboundKeys returns the keys; none before an account was made an issuer.
func (s *Service) OutboundKeys(ctx context.Context) ([]OutboundKey, error) {
	return s.outboundKeys.Get(ctx, struct{}{}, outboundKeysScope, func(ctx context.Context) ([]OutboundKey, error) {
		type row struct {
			ID, Algorithm string
			Private       []byte
		}
		rows, err := db.All[row](ctx, s.DB, `SELECT id, algorithm, private FROM iam_outbound_keys ORDER BY algorithm`)
		if err != nil {
			return nil, err
		}
		var keys []OutboundKey
		for _, r := range rows {
			der, err := s.Box.Open(r.Private, []byte("outbound/"+r.ID))
			if err != nil {
				return nil, fmt.Errorf("iam: key %s of outbound federation: %w", r.ID, err)
			}
			key, err := x509.ParsePKCS8PrivateKey(der)
			signer, ok := key.(crypto.Signer)
			if err != nil || !ok {
				return nil, fmt.Errorf("iam: key %s of outbound federation: not a private key: %v", r.ID, err)
			}
			keys = append(keys, OutboundKey{ID: r.ID, Algorithm: r.Algorithm, Key: signer})
		}
		return keys, nil
	})
}

// makeOutboundKeys makes the keys that are missing. It takes a moment, and so happens outside of transactions.
func (s *Service) makeOutboundKeys(ctx context.Context) error {
	have, err := s.OutboundKeys(ctx)
	if err != nil || len(have) == len(outboundAlgorithms) {
		return err
	}
	type sealed struct {
		id, algorithm string
		private       []byte
	}
	var keys []sealed
	for algorithm, generate := range outboundAlgorithms {
		key, err := generate()
		if err != nil {
			return err
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return err
		}
		id := ids.UUID()
		keys = append(keys, sealed{id, algorithm, s.Box.Seal(der, []byte("outbound/"+id))})
	}
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		tx.Invalidate(outboundKeysScope)
		for _, k := range keys {
			if _, err := tx.ExecContext(ctx, `INSERT INTO iam_outbound_keys (id, algorithm, created, private) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
				k.id, k.algorithm, s.Now().UnixMicro(), k.private); err != nil {
				return err
			}
		}
		return nil
	})
}

var outboundAlgorithms = map[string]func() (crypto.Signer, error){
	"RS256": func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) },
	"ES384": func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P384(), rand.Reader) },
}

// isOutbound reports whether a URL is that of an issuer of ours: tokens for others are not taken back.
func (s *Service) isOutbound(url string) bool {
	return s.OutboundURL != "" && strings.HasPrefix(url, s.OutboundURL+"/")
}

// EnableOutboundWebIdentityFederation implements iam:EnableOutboundWebIdentityFederation. An account keeps its issuer for
// ever.
func (s *Service) EnableOutboundWebIdentityFederation(ctx context.Context, _ *iam.EnableOutboundWebIdentityFederationRequest) (*iam.EnableOutboundWebIdentityFederationResponse, error) {
	if s.OutboundURL == "" {
		return nil, fmt.Errorf("iam: no URL for outbound federation is configured")
	}
	if err := s.makeOutboundKeys(ctx); err != nil {
		return nil, err
	}
	var id string
	err := s.DB.Tx(ctx, func(tx *db.Tx) (err error) {
		tx.Invalidate(outboundScope(account(ctx)))
		id, err = db.One[string](ctx, tx, `INSERT INTO iam_outbound_issuers (account_id, id, enabled) VALUES ($1, $2, 1)
			ON CONFLICT (account_id) DO UPDATE SET enabled = 1 WHERE iam_outbound_issuers.enabled = 0 RETURNING id`, account(ctx), ids.UUID())
		if isNotFound(err) {
			err = iam.ErrFeatureEnabled.Msg("Outbound web identity federation is already enabled for this account.")
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &iam.EnableOutboundWebIdentityFederationResponse{IssuerIdentifier: new(s.outboundURL(id))}, nil
}

var errFeatureDisabled = iam.ErrFeatureDisabled.Msg("Outbound web identity federation is not enabled for this account.")

// DisableOutboundWebIdentityFederation implements iam:DisableOutboundWebIdentityFederation.
func (s *Service) DisableOutboundWebIdentityFederation(ctx context.Context, _ *iam.DisableOutboundWebIdentityFederationRequest) error {
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		tx.Invalidate(outboundScope(account(ctx)))
		res, err := tx.ExecContext(ctx, `UPDATE iam_outbound_issuers SET enabled = 0 WHERE account_id = $1 AND enabled = 1`, account(ctx))
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err == nil && n == 0 {
			err = errFeatureDisabled
		}
		return err
	})
}

// GetOutboundWebIdentityFederationInfo implements iam:GetOutboundWebIdentityFederationInfo.
func (s *Service) GetOutboundWebIdentityFederationInfo(ctx context.Context, _ *iam.GetOutboundWebIdentityFederationInfoRequest) (*iam.GetOutboundWebIdentityFederationInfoResponse, error) {
	issuer, err := s.OutboundIssuer(ctx, account(ctx))
	if err != nil {
		return nil, err
	}
	if !issuer.Enabled {
		return nil, errFeatureDisabled
	}
	return &iam.GetOutboundWebIdentityFederationInfoResponse{IssuerIdentifier: &issuer.URL, JwtVendingEnabled: new(true)}, nil
}

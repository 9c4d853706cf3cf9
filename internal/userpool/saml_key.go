package userpool

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"time"

	"usher/internal/api/cognitoidp"
	"usher/internal/db"
)

const (
	samlCertificateLife  = 10 * 365 * 24 * time.Hour
	samlCertificateRenew = 365 * 24 * time.Hour // for the same key
)

type samlKeyRow struct {
	Sealed, Certificate []byte
	Issued              int64
}

// GetSigningCertificate returns the certificate of the key that a pool signs SAML requests with. The pool gets the key when it is
// first asked for, and a new certificate for it each year.
func (s *Service) GetSigningCertificate(ctx context.Context, in *cognitoidp.GetSigningCertificateRequest) (*cognitoidp.GetSigningCertificateResponse, error) {
	p, err := s.ownPool(ctx, *in.UserPoolId)
	if err != nil {
		return nil, err
	}
	row, err := s.readSAMLKey(ctx, s.DB, p)
	switch {
	case err != nil && !errors.Is(err, db.ErrNotFound):
		return nil, err
	case err != nil || s.now() >= row.Issued+samlCertificateRenew.Microseconds():
		if row, err = s.renewSAMLKey(ctx, p, row); err != nil {
			return nil, err
		}
	}
	return &cognitoidp.GetSigningCertificateResponse{Certificate: new(base64.StdEncoding.EncodeToString(row.Certificate))}, nil
}

func (s *Service) readSAMLKey(ctx context.Context, q db.Querier, p *pool) (samlKeyRow, error) {
	return db.One[samlKeyRow](ctx, q, `SELECT sealed, certificate, issued FROM user_pool_saml_keys WHERE pool_id = $1`, p.ID)
}

// renewSAMLKey stores a new certificate for the pool's key, which it makes if former has none, unless somebody else was first.
func (s *Service) renewSAMLKey(ctx context.Context, p *pool, former samlKeyRow) (samlKeyRow, error) {
	var key *rsa.PrivateKey
	var err error
	row := samlKeyRow{Sealed: former.Sealed, Issued: s.now()}
	if former.Sealed == nil {
		if key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil { // before the transaction: it takes a while
			return row, err
		}
		plain, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return row, err
		}
		row.Sealed = s.samlKeys.Seal(plain, []byte(p.ID))
	} else {
		plain, err := s.samlKeys.Open(former.Sealed, []byte(p.ID))
		if err != nil {
			return row, fmt.Errorf("SAML key of pool %s: %w", p.ID, err)
		}
		any, err := x509.ParsePKCS8PrivateKey(plain)
		if err != nil {
			return row, fmt.Errorf("SAML key of pool %s: %w", p.ID, err)
		}
		key = any.(*rsa.PrivateKey)
	}
	if row.Certificate, err = samlCertificate(key, p.ID, s.Now()); err != nil {
		return row, err
	}
	err = s.DB.Tx(ctx, func(tx *db.Tx) error {
		if _, err := readPool(ctx, tx, p.ID); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO user_pool_saml_keys (pool_id, sealed, certificate, issued) VALUES ($1, $2, $3, $4)
			ON CONFLICT (pool_id) DO UPDATE SET certificate = excluded.certificate, issued = excluded.issued
			WHERE user_pool_saml_keys.issued = $5 AND user_pool_saml_keys.sealed = excluded.sealed`, p.ID, row.Sealed, row.Certificate, row.Issued, former.Issued)
		if err != nil {
			return err
		}
		row, err = s.readSAMLKey(ctx, tx, p)
		return err
	})
	return row, err
}

// samlCertificate is a certificate that the key signs itself, for those who want their keys in one.
func samlCertificate(key *rsa.PrivateKey, poolID string, now time.Time) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: poolID}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(samlCertificateLife),
		KeyUsage: x509.KeyUsageDigitalSignature, SignatureAlgorithm: x509.SHA256WithRSA,
	}
	return x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
}

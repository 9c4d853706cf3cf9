// Package token makes and verifies JSON Web Tokens (RFC 7519) in compact serialization (RFC 7515): RSA keys and a
// signer for tokens of our own, a strict verifier for ours and those of others, and the keys of remote issuers.
//
// Claims are to be had only from a verified token: Parse yields an Unverified, which tells no more than is needed to
// find the key, and its Verify yields the Claims. The key decides the algorithm, never the token (RFC 8725).
package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512" // for RS384, RS512, ES384 and ES512
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// MaxSize is the length of the longest token that is looked at.
const MaxSize = 64 << 10

// MinRSABits and MaxRSABits bound the RSA keys that are accepted; the upper bound bounds the work.
const (
	MinRSABits = 2048
	MaxRSABits = 8192
)

var (
	// ErrMalformed: not a JWT in compact serialization, or one that says a thing twice.
	ErrMalformed = errors.New("token: malformed")
	// ErrAlgorithm: the algorithm is none of RS256 to RS512 and ES256 to ES512, or does not fit the key.
	ErrAlgorithm = errors.New("token: algorithm not allowed")
	// ErrSignature: the signature is wrong.
	ErrSignature = errors.New("token: wrong signature")
	// ErrKeyNotFound: the issuer has no such key.
	ErrKeyNotFound = errors.New("token: key not found")
	// ErrNotYetValid: nbf or iat lies in the future.
	ErrNotYetValid = errors.New("token: not yet valid")
)

// ExpiredError says that a token was valid until Expires, seconds since 1970.
type ExpiredError struct {
	Now, Expires int64
}

func (e *ExpiredError) Error() string {
	return fmt.Sprintf("token: expired: %d is not before %d", e.Now, e.Expires)
}

// ClaimError says that a claim is missing or not of its type.
type ClaimError struct {
	Claim string
}

func (e *ClaimError) Error() string {
	return "token: missing or invalid claim " + e.Claim
}

// PublicKey is a key that tokens are verified with.
type PublicKey struct {
	ID        string           // kid
	Algorithm string           // the only algorithm; empty: any that fits the kind of key
	Key       crypto.PublicKey // *rsa.PublicKey or *ecdsa.PublicKey
}

// strictURL is base64url without padding that refuses stray bits; bytes outside the alphabet are checked separately,
// because encoding/base64 skips line ends.
var strictURL = base64.RawURLEncoding.Strict()

// Unverified is a token whose form is right and whose signature has not been checked.
type Unverified struct {
	algorithm, keyID string
	input            string // what is signed
	signature        []byte
	claims           Claims
}

// Parse reads a token. The errors are ErrMalformed and ErrAlgorithm.
func Parse(token string) (*Unverified, error) {
	if len(token) > MaxSize {
		return nil, ErrMalformed
	}
	h, rest, ok1 := strings.Cut(token, ".")
	p, s, ok2 := strings.Cut(rest, ".")
	if !ok1 || !ok2 {
		return nil, ErrMalformed
	}
	// A third dot would not be in the alphabet of the signature.
	header, ok1 := decode(h)
	payload, ok2 := decode(p)
	signature, ok3 := decode(s)
	if !ok1 || !ok2 || !ok3 {
		return nil, ErrMalformed
	}
	u := &Unverified{input: token[:len(h)+1+len(p)], signature: signature}
	fields, err := parseObject(header)
	if err != nil {
		return nil, err
	}
	u.algorithm, ok1 = fields.String("alg")
	if !ok1 {
		return nil, ErrMalformed
	}
	if algorithms[u.algorithm].hash == 0 {
		return nil, ErrAlgorithm
	}
	// No extension is understood, so none may be critical (RFC 7515, section 4.1.11).
	if _, critical := fields.Get("crit"); critical {
		return nil, ErrMalformed
	}
	if _, present := fields.Get("kid"); present {
		if u.keyID, ok1 = fields.String("kid"); !ok1 {
			return nil, ErrMalformed
		}
	}
	if u.claims, err = parseObject(payload); err != nil {
		return nil, err
	}
	return u, nil
}

func decode(s string) ([]byte, bool) {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return nil, false
		}
	}
	b, err := strictURL.DecodeString(s)
	return b, err == nil && len(b) > 0
}

// Algorithm, KeyID and Issuer are what the token says of itself, for finding the key. KeyID and Issuer may be empty.
func (u *Unverified) Algorithm() string { return u.algorithm }

// KeyID is the kid of the header.
func (u *Unverified) KeyID() string { return u.keyID }

// Issuer is the iss claim.
func (u *Unverified) Issuer() string {
	iss, _ := u.claims.String("iss")
	return iss
}

type algorithm struct {
	hash  crypto.Hash
	curve elliptic.Curve // nil: RSA PKCS #1 v1.5
}

// algorithms are those that AWS accepts of OpenID Connect providers.
var algorithms = map[string]algorithm{
	"RS256": {crypto.SHA256, nil},
	"RS384": {crypto.SHA384, nil},
	"RS512": {crypto.SHA512, nil},
	"ES256": {crypto.SHA256, elliptic.P256()},
	"ES384": {crypto.SHA384, elliptic.P384()},
	"ES512": {crypto.SHA512, elliptic.P521()},
}

// Verify checks the signature, and nothing else: times, issuer and audience are the caller's to check. The errors are
// ErrAlgorithm and ErrSignature.
func (u *Unverified) Verify(key PublicKey) (Claims, error) {
	alg := algorithms[u.algorithm]
	if key.Algorithm != "" && key.Algorithm != u.algorithm {
		return Claims{}, ErrAlgorithm
	}
	var digest []byte
	if alg.hash == crypto.SHA256 {
		sum := sha256.Sum256([]byte(u.input))
		digest = sum[:]
	} else {
		h := alg.hash.New()
		h.Write([]byte(u.input))
		digest = h.Sum(nil)
	}
	switch k := key.Key.(type) {
	case *rsa.PublicKey:
		if alg.curve != nil || k.N.BitLen() < MinRSABits || k.N.BitLen() > MaxRSABits {
			return Claims{}, ErrAlgorithm
		}
		if rsa.VerifyPKCS1v15(k, alg.hash, digest, u.signature) != nil {
			return Claims{}, ErrSignature
		}
	case *ecdsa.PublicKey:
		if alg.curve == nil || alg.curve != k.Curve {
			return Claims{}, ErrAlgorithm
		}
		size := (alg.curve.Params().BitSize + 7) / 8
		if len(u.signature) != 2*size {
			return Claims{}, ErrSignature
		}
		r, s := new(big.Int).SetBytes(u.signature[:size]), new(big.Int).SetBytes(u.signature[size:])
		if !ecdsa.Verify(k, digest, r, s) {
			return Claims{}, ErrSignature
		}
	default:
		return Claims{}, ErrAlgorithm
	}
	return u.claims, nil
}

// CheckExpiry refuses a token without exp (ClaimError), or with one that has passed by more than leeway (ExpiredError).
func (c Claims) CheckExpiry(now time.Time, leeway time.Duration) error {
	exp, ok := c.Int("exp")
	if !ok {
		return &ClaimError{"exp"}
	}
	if now.Add(-leeway).Unix() >= exp {
		return &ExpiredError{Now: now.Unix(), Expires: exp}
	}
	return nil
}

// CheckNotBefore refuses a token whose nbf or iat lies in the future by more than leeway. Both are optional.
func (c Claims) CheckNotBefore(now time.Time, leeway time.Duration) error {
	for _, name := range []string{"nbf", "iat"} {
		if _, present := c.Get(name); !present {
			continue
		}
		t, ok := c.Int(name)
		if !ok {
			return &ClaimError{name}
		}
		if t > now.Add(leeway).Unix() {
			return ErrNotYetValid
		}
	}
	return nil
}

package token

import (
	"cmp"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
)

// KeyPair is an RSA key that tokens of our own are signed with: RS256 unless As says otherwise.
type KeyPair struct {
	id        string
	algorithm string
	private   *rsa.PrivateKey
	header    []byte // of tokens, encoded, with the dot
}

// NewKeyPair makes an RSA key of 2048 bits. It takes a few hundred milliseconds.
func NewKeyPair() (*KeyPair, error) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	return newKeyPair(private), nil
}

// ParseKeyPair reads what MarshalPKCS8 wrote.
func ParseKeyPair(pkcs8 []byte) (*KeyPair, error) {
	key, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		return nil, err
	}
	private, ok := key.(*rsa.PrivateKey)
	if !ok || private.N.BitLen() < MinRSABits {
		return nil, errors.New("token: not an RSA key of at least 2048 bits")
	}
	return newKeyPair(private), nil
}

func newKeyPair(private *rsa.PrivateKey) *KeyPair {
	// The thumbprint of RFC 7638 in the form of Cognito's key ids: 32 bytes in padded base64.
	e, n := jwkNumbers(&private.PublicKey)
	sum := sha256.Sum256(fmt.Appendf(nil, `{"e":"%s","kty":"RSA","n":"%s"}`, e, n))
	k := &KeyPair{id: base64.StdEncoding.EncodeToString(sum[:]), algorithm: "RS256", private: private}
	k.header = encodeHeader(fmt.Appendf(nil, `{"kid":"%s","alg":"RS256"}`, k.id))
	return k
}

// As returns the key under another id, for tokens that name a type (typ) and are signed by RS256, RS384 or RS512. None of
// the texts may need escaping in JSON.
func (k *KeyPair) As(id, typ, algorithm string) *KeyPair {
	if alg := algorithms[algorithm]; alg.hash == 0 || alg.curve != nil {
		panic("token: not an algorithm of RSA keys: " + algorithm)
	}
	return &KeyPair{
		id: id, algorithm: algorithm, private: k.private,
		header: encodeHeader(fmt.Appendf(nil, `{"kid":"%s","typ":"%s","alg":"%s"}`, id, typ, algorithm)),
	}
}

func encodeHeader(header []byte) []byte {
	return append(base64.RawURLEncoding.AppendEncode(nil, header), '.')
}

// ID is the kid of the key: a function of the key, or what As was given.
func (k *KeyPair) ID() string {
	return k.id
}

// MarshalPKCS8 is the private key, for sealed storage.
func (k *KeyPair) MarshalPKCS8() ([]byte, error) {
	return x509.MarshalPKCS8PrivateKey(k.private)
}

// Public is the key to verify with.
func (k *KeyPair) Public() PublicKey {
	return PublicKey{ID: k.id, Algorithm: k.algorithm, Key: &k.private.PublicKey}
}

func jwkNumbers(key *rsa.PublicKey) (e, n string) {
	return base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()), base64.RawURLEncoding.EncodeToString(key.N.Bytes())
}

// JWKS is the key set document (RFC 7517) of RSA keys, members as Cognito has them. A key without algorithm is for RS256.
func JWKS(keys ...PublicKey) []byte {
	type jwk struct {
		Alg string `json:"alg"`
		E   string `json:"e"`
		Kid string `json:"kid"`
		Kty string `json:"kty"`
		N   string `json:"n"`
		Use string `json:"use"`
	}
	set := struct {
		Keys []jwk `json:"keys"`
	}{[]jwk{}}
	for _, k := range keys {
		e, n := jwkNumbers(k.Key.(*rsa.PublicKey))
		set.Keys = append(set.Keys, jwk{Alg: cmp.Or(k.Algorithm, "RS256"), E: e, Kid: k.ID, Kty: "RSA", N: n, Use: "sig"})
	}
	b, err := json.Marshal(set)
	if err != nil {
		panic(err) // strings always encode
	}
	return b
}

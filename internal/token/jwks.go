package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
)

// MaxKeys is how many keys of each kind, RSA and elliptic curve, a key set may have, as AWS has it.
const MaxKeys = 100

// ParseJWKS reads a key set (RFC 7517, RFC 7518 section 6) and returns the keys that can verify tokens. Keys for other uses,
// of other kinds or strengths, and keys without id are skipped. Different keys with the same id are skipped too, because
// the id says nothing about which is meant.
func ParseJWKS(document []byte) ([]PublicKey, error) {
	set, err := parseObject(document)
	if err != nil {
		return nil, errors.New("token: the key set is not a JSON object")
	}
	list, _ := set.Get("keys")
	var jwks []json.RawMessage
	if json.Unmarshal(list, &jwks) != nil || jwks == nil {
		return nil, errors.New("token: the key set has no array of keys")
	}
	if len(jwks) > 2*MaxKeys {
		return nil, errors.New("token: the key set has too many keys")
	}
	var keys []PublicKey
	at, count := map[string]int{}, map[string]int{}
	for _, raw := range jwks {
		jwk, err := parseObject(raw)
		if err != nil {
			return nil, errors.New("token: the key set has an element that is not a key")
		}
		kty, _ := jwk.String("kty")
		if count[kty]++; count[kty] > MaxKeys {
			return nil, fmt.Errorf("token: the key set has too many keys of type %q", kty)
		}
		key, ok := parseJWK(jwk)
		if !ok {
			continue
		}
		i, again := at[key.ID]
		if !again {
			at[key.ID] = len(keys)
			keys = append(keys, key)
			continue
		}
		switch {
		case !sameKey(keys[i].Key, key.Key):
			keys[i].Key = nil
		case keys[i].Algorithm != key.Algorithm:
			keys[i].Algorithm = "" // one key for several algorithms
		}
	}
	usable := keys[:0]
	for _, k := range keys {
		if k.Key != nil {
			usable = append(usable, k)
		}
	}
	return usable, nil
}

func sameKey(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

func parseJWK(jwk Claims) (PublicKey, bool) {
	var key PublicKey
	key.ID, _ = jwk.String("kid")
	if key.ID == "" || len(key.ID) > 1024 {
		return key, false
	}
	if _, present := jwk.Get("use"); present {
		if use, _ := jwk.String("use"); use != "sig" {
			return key, false
		}
	}
	if ops, present := jwk.Strings("key_ops"); present {
		verify := false
		for _, op := range ops {
			verify = verify || op == "verify"
		}
		if !verify {
			return key, false
		}
	}
	var alg algorithm
	if _, present := jwk.Get("alg"); present {
		key.Algorithm, _ = jwk.String("alg")
		if alg = algorithms[key.Algorithm]; alg.hash == 0 {
			return key, false
		}
	}
	switch kty, _ := jwk.String("kty"); kty {
	case "RSA":
		n, ok1 := jwkBytes(jwk, "n", MaxRSABits/8+1)
		e, ok2 := jwkBytes(jwk, "e", 4)
		if !ok1 || !ok2 || alg.curve != nil {
			return key, false
		}
		k := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
		if bits := k.N.BitLen(); bits < MinRSABits || bits > MaxRSABits || k.N.Bit(0) == 0 || k.E < 3 || k.E&1 == 0 || k.E > 1<<31-1 {
			return key, false
		}
		key.Key = k
	case "EC":
		crv, _ := jwk.String("crv")
		curve, ok := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[crv]
		if !ok || key.Algorithm != "" && alg.curve != curve {
			return key, false
		}
		size := (curve.Params().BitSize + 7) / 8
		x, ok1 := jwkBytes(jwk, "x", size)
		y, ok2 := jwkBytes(jwk, "y", size)
		if !ok1 || !ok2 || len(x) != size || len(y) != size {
			return key, false
		}
		k, err := ecdsa.ParseUncompressedPublicKey(curve, append(append([]byte{4}, x...), y...))
		if err != nil {
			return key, false
		}
		key.Key = k
	default:
		return key, false
	}
	return key, true
}

func jwkBytes(jwk Claims, name string, limit int) ([]byte, bool) {
	s, _ := jwk.String(name)
	b, ok := decode(s)
	return b, ok && len(b) <= limit
}

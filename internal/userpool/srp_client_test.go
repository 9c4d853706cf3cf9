package userpool

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"math/big"
	"testing"
	"time"
)

// srpClient is a client's side of SRP as amazon-cognito-identity-js has it, written from the formulas.
type srpClient struct {
	a, A *big.Int
}

var srpN, _ = new(big.Int).SetString("FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7EDEE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3BE39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA051015728E5A8AAAC42DAD33170D04507A33A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7DB3970F85A6E1E4C7ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864D87602733EC86A64521F2B18177B200CBBE117577A615D6C770988C0BAD946E208E24FA074E5AB3143DB5BFCE0FD108E4B82D120A93AD2CAFFFFFFFFFFFFFFFF", 16)

func newSRPClient() *srpClient {
	secret := make([]byte, 64)
	rand.Read(secret)
	c := &srpClient{a: new(big.Int).SetBytes(secret)}
	c.A = new(big.Int).Exp(big.NewInt(2), c.a, srpN)
	return c
}

func (c *srpClient) publicA() string { return c.A.Text(16) }

// answer returns the ChallengeResponses that prove password for the challenge in params, at the time t.
func (c *srpClient) answer(tb testing.TB, poolName, password string, params map[string]string, t time.Time) map[string]string {
	tb.Helper()
	b, ok1 := new(big.Int).SetString(params["SRP_B"], 16)
	salt, ok2 := new(big.Int).SetString(params["SALT"], 16)
	block, err := base64.StdEncoding.DecodeString(params["SECRET_BLOCK"])
	if !ok1 || !ok2 || err != nil {
		tb.Fatalf("bad challenge: %v", params)
	}
	id := poolName + params["USER_ID_FOR_SRP"]
	inner := sha256.Sum256([]byte(id + ":" + password))
	x := srpHash(srpPad(salt), inner[:])
	u := srpHash(srpPad(c.A), srpPad(b))
	k := srpHash(srpPad(srpN), srpPad(big.NewInt(2)))
	base := new(big.Int).Exp(big.NewInt(2), x, srpN)
	base.Mul(base, k).Sub(b, base).Mod(base, srpN)
	s := new(big.Int).Exp(base, new(big.Int).Add(c.a, new(big.Int).Mul(u, x)), srpN)
	prk := srpMAC(srpPad(u), srpPad(s))
	key := srpMAC(prk, []byte("Caldera Derived Key\x01"))[:16]
	stamp := t.UTC().Format("Mon Jan 2 15:04:05 UTC 2006")
	return map[string]string{
		"USERNAME":                    params["USER_ID_FOR_SRP"],
		"PASSWORD_CLAIM_SECRET_BLOCK": params["SECRET_BLOCK"],
		"TIMESTAMP":                   stamp,
		"PASSWORD_CLAIM_SIGNATURE":    base64.StdEncoding.EncodeToString(srpMAC(key, []byte(id), block, []byte(stamp))),
	}
}

func srpPad(n *big.Int) []byte {
	b := n.Bytes()
	if b[0]&0x80 != 0 {
		b = append([]byte{0}, b...)
	}
	return b
}

func srpHash(parts ...[]byte) *big.Int {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	return new(big.Int).SetBytes(h.Sum(nil))
}

func srpMAC(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

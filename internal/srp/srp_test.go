package srp

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"
)

func num(s string) *big.Int {
	n, ok := new(big.Int).SetString(s, 16)
	if !ok {
		panic(s)
	}
	return n
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// shaText is the SHA-256 of a number's hexadecimal text, short enough for a table.
func shaText(n *big.Int) string {
	sum := sha256.Sum256([]byte(n.Text(16)))
	return hex.EncodeToString(sum[:])
}

func TestGroup(t *testing.T) {
	q := new(big.Int).Rsh(groupN, 1)
	if groupN.BitLen() != 3072 || !groupN.ProbablyPrime(10) || !q.ProbablyPrime(10) {
		t.Error("N is not the safe prime")
	}
	if got := groupK.Text(16); got != "538282c4354742d7cbbde2359fcf67f9f5b3a6b08791e5011b43b8a5b66d9ee6" {
		t.Errorf("k = %s", got)
	}
}

// Numbers computed with the public JavaScript client of Cognito; those of the device with the same formulas.
func TestVectors(t *testing.T) { withArithmetic(t, testVectors) }

func testVectors(t *testing.T) {
	a, b := num(strings.Repeat("0123456789abcdef", 16)), num(strings.Repeat("fedcba9876543210", 16))
	var block []byte
	for i := range 48 {
		block = append(block, byte(i))
	}
	for _, c := range []struct {
		name, pool, user, password, salt string
		a, b                             *big.Int
		x, v, A, B, u, key, sig          string // empty: not published
	}{
		{
			name: "user", pool: "EXAMPLE01", user: "4f6a1f7e-0c1d-4a51-9b7e-1f2d3c4b5a69", password: "Correct-Horse1!",
			salt: "9f3c7a11d2e4b5968877665544332211", a: a, b: b,
			x:   "b2398fa8472b966db510d09bde1dbef4f1da999b928cba0b23ed876249d926a2",
			v:   "18ae143aa16ff01bb048c9aa03a26872018eaf258b181509bd1de234a7653793",
			A:   "a38fb1d51d94bab67b85bfa082a654a1fee9b9a6ce0dc7223591727069d90d80",
			B:   "18cf5276ff8b9448ff72f4ffa4a915a320fa40072ceb009d45d49e3d35ed935c",
			u:   "07d7fb23dea52a798f730c43d7b81cac7712b6055f7653ec65237c70e930fc18",
			key: "2fdab3cde2bc12ba5b5343ef7724bc6c",
			sig: "Lm4o0DvJEY4IKA2LFHXRuDNcEN0MuefZIEeCVrsXQu8=",
		},
		{
			name: "device", pool: "-Ab3cDeF9", user: "us-east-1_0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0", password: "ZGV2aWNlLXNlY3JldA==",
			salt: "7b00112233445566778899aabbccddee", a: a, b: b,
			x:   "3378eb16bae8251f3da9f2ee91db7dddf7e235e8c869922f9bb30ca03e71e0f7",
			key: "9d8364df878b0ace6f3ba3dcef6774a8",
			sig: "jfqd1LsUUTbeX4EN2CYlgpM9v0+QpBSLqBjiAQW1uz4=",
		},
		{
			name: "short secrets", pool: "abcdefghi", user: "7d8ca528-4931-4254-9273-ea5ee853f271", password: "Passw0rd-bench",
			salt: "9fedcba98765432100112233445566ff",
			a:    num("f123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
			b:    num("e0dcba9876543210fedcba9876543210fedcba9876543210fedcba9876543211"),
			key:  "aec5cbffb6b56b918c2c9bb25fa28ddb",
		},
	} {
		check := func(what, got, want string) {
			if want != "" && got != want {
				t.Errorf("%s: %s = %s, want %s", c.name, what, got, want)
			}
		}
		check("x", privateKey(c.pool, c.user, c.password, unhex(c.salt)).Text(16), c.x)
		verifier := passwordVerifier(c.pool, c.user, c.password, unhex(c.salt))
		v := new(big.Int).SetBytes(verifier)
		check("v", shaText(v), c.v)
		A := new(big.Int).Exp(groupG, c.a, groupN)
		check("A", shaText(A), c.A)
		B := serverPublic(v, new(big.Int).Exp(groupG, c.b, groupN))
		check("B", shaText(B), c.B)
		u := hash(pad(A), pad(B))
		check("u", hex.EncodeToString(u.FillBytes(make([]byte, 32))), c.u)
		key := sessionKey(A, v, u, c.b)
		check("key", hex.EncodeToString(key), c.key)
		check("sig", base64.StdEncoding.EncodeToString(proof(key, Answer{PoolName: c.pool, UserID: c.user, SecretBlock: block,
			Timestamp: "Tue Mar 3 04:05:06 UTC 2026"})), c.sig)
	}
}

// client is what a Cognito client library does.
type client struct {
	a, A *big.Int
}

func newClient() client {
	a, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 1024))
	if err != nil {
		panic(err)
	}
	return client{a, new(big.Int).Exp(groupG, a, groupN)}
}

func (c client) sign(answer Answer, password, salt, publicB string) string {
	B := num(publicB)
	x := privateKey(answer.PoolName, answer.UserID, password, num(salt).Bytes())
	u := hash(pad(c.A), pad(B))
	S := new(big.Int).Exp(groupG, x, groupN)
	S.Mul(S, groupK).Sub(B, S).Mod(S, groupN)
	S.Exp(S, new(big.Int).Add(c.a, new(big.Int).Mul(u, x)), groupN)
	extract := hmac.New(sha256.New, pad(u))
	extract.Write(pad(S))
	expand := hmac.New(sha256.New, extract.Sum(nil))
	expand.Write([]byte("Caldera Derived Key\x01"))
	return base64.StdEncoding.EncodeToString(proof(expand.Sum(nil)[:16], answer))
}

var now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func TestSignIn(t *testing.T) { withArithmetic(t, testSignIn) }

func testSignIn(t *testing.T) {
	const pool, user, password = "abc", "ann", "Pässword1!"
	salt, verifier := NewVerifier(pool, user, password)
	for range 4 {
		c := newClient()
		challenge, err := NewChallenge(verifier, c.A.Text(16))
		if err != nil {
			t.Fatal(err)
		}
		state := challenge.State()
		good := Answer{PoolName: pool, UserID: user, SecretBlock: []byte("block"), Timestamp: "Wed Mar 4 05:06:07 UTC 2026"}
		good.Signature = c.sign(good, password, SaltHex(salt), challenge.PublicB)
		if err := Verify(state, verifier, good, now); err != nil {
			t.Fatal(err)
		}

		wrong := good
		wrong.Signature = c.sign(good, password+"x", SaltHex(salt), challenge.PublicB)
		bad := map[string]Answer{"password": wrong}
		edit := func(name string, change func(*Answer)) {
			a := good
			change(&a)
			bad[name] = a
		}
		edit("block", func(a *Answer) { a.SecretBlock = []byte("other") })
		edit("timestamp", func(a *Answer) { a.Timestamp = "Wed Mar 4 05:06:08 UTC 2026" })
		edit("user", func(a *Answer) { a.UserID = "bob" })
		edit("pool", func(a *Answer) { a.PoolName = "xyz" })
		edit("signature", func(a *Answer) { a.Signature = "" })
		edit("signature, not base64", func(a *Answer) { a.Signature = "!" })
		edit("signature, cut", func(a *Answer) { a.Signature = a.Signature[:40] })
		for name, a := range bad {
			if err := Verify(state, verifier, a, now); !errors.Is(err, ErrProof) {
				t.Errorf("%s: %v", name, err)
			}
		}
		_, other := NewVerifier(pool, user, password)
		if err := Verify(state, other, good, now); !errors.Is(err, ErrProof) {
			t.Errorf("other verifier: %v", err)
		}
		again, _ := NewChallenge(verifier, c.A.Text(16))
		if again.PublicB == challenge.PublicB {
			t.Error("B repeats")
		}
		if err := Verify(again.State(), verifier, good, now); !errors.Is(err, ErrProof) {
			t.Errorf("other challenge: %v", err)
		}
		for _, s := range [][]byte{nil, state[1:], append([]byte{2}, state[1:]...)} {
			if err := Verify(s, verifier, good, now); !errors.Is(err, ErrState) {
				t.Errorf("state of %d bytes: %v", len(s), err)
			}
		}
	}
}

func TestCheckPassword(t *testing.T) {
	salt, verifier := NewVerifier("pool", "user", "secret")
	for _, c := range []struct {
		pool, user, password string
		want                 bool
	}{
		{"pool", "user", "secret", true},
		{"pool", "user", "Secret", false},
		{"pool", "user", "", false},
		{"pool", "usr", "secret", false},
		{"pol", "user", "secret", false},
	} {
		if got := CheckPassword(c.pool, c.user, c.password, salt, verifier); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	if CheckPassword("pool", "user", "secret", salt, nil) || CheckPassword("pool", "user", "secret", salt[1:], verifier) {
		t.Error("accepted with damaged record")
	}
}

func TestPublicValues(t *testing.T) {
	_, verifier := NewVerifier("p", "u", "x")
	n := groupN.Text(16)
	for _, c := range []struct {
		A  string
		ok bool
	}{
		{"2", true},
		{"00" + new(big.Int).Sub(groupN, big.NewInt(1)).Text(16), true},
		{strings.ToUpper(newClient().A.Text(16)), true},
		{"", false},
		{"0", false},
		{n, false},
		{new(big.Int).Lsh(groupN, 1).Text(16), false},
		{n + "0", false},
		{strings.Repeat("0", 5000) + "2", false},
		{"-2", false},
		{"+2", false},
		{"0x2", false},
		{"2_2", false},
		{"zz", false},
	} {
		_, err := NewChallenge(verifier, c.A)
		if c.ok != (err == nil) || err != nil && !errors.Is(err, ErrPublicValue) {
			t.Errorf("A = %.20q: %v", c.A, err)
		}
	}
	for _, v := range [][]byte{nil, make([]byte, VerifierSize), groupN.Bytes(), {2}} {
		if _, err := NewChallenge(v, "2"); !errors.Is(err, ErrVerifier) {
			t.Errorf("verifier of %d bytes: %v", len(v), err)
		}
	}
}

func TestParseVerifier(t *testing.T) {
	salt, verifier := NewVerifier("group", "device", "secret")
	v := new(big.Int).SetBytes(verifier)
	padded := pad(new(big.Int).SetBytes(salt))
	got, err := ParseVerifier(padded, pad(v))
	if err != nil || !bytes.Equal(got, verifier) || !CheckPassword("group", "device", "secret", padded, got) {
		t.Error(err)
	}
	for _, c := range []struct {
		salt, verifier []byte
		want           error
	}{
		{nil, verifier, ErrSalt},
		{make([]byte, 65), verifier, ErrSalt},
		{salt, nil, ErrVerifier},
		{salt, pad(groupN), ErrVerifier},
		{salt, append([]byte{0, 0}, verifier...), ErrVerifier},
	} {
		if _, err := ParseVerifier(c.salt, c.verifier); !errors.Is(err, c.want) {
			t.Errorf("%d %d: %v", len(c.salt), len(c.verifier), err)
		}
	}
}

func TestTimestamp(t *testing.T) {
	for s, want := range map[string]bool{
		"Wed Mar 4 05:06:07 UTC 2026":      true,
		"Wed Mar 04 05:06:07 UTC 2026":     true,
		"Wed Mar  4 05:06:07 UTC 2026":     true,
		"Wed Mar 4 05:01:07 UTC 2026":      true,
		"Wed Mar 4 05:01:06 UTC 2026":      false,
		"Wed Mar 4 05:11:07 UTC 2026":      true,
		"Wed Mar 4 05:11:08 UTC 2026":      false,
		"Wed Mar 4 05:06:07 2026":          false,
		"Wed Mar 4 05:06:07 CET 2026":      false,
		"Mi Mär 4 05:06:07 UTC 2026":       false,
		"2026-03-04T05:06:07Z":             false,
		"":                                 false,
		"Wed Mar 4 05:06:07 UTC 2026xxxxx": false,
	} {
		if err := checkTimestamp(s, now); (err == nil) != want {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestFake(t *testing.T) {
	key := []byte("0123456789abcdef0123456789abcdef")
	f := NewFake(key, "r_pool", "nobody")
	if g := NewFake(key, "r_pool", "nobody"); !bytes.Equal(f.Salt, g.Salt) || !bytes.Equal(f.Verifier, g.Verifier) || f.ID != g.ID {
		t.Error("not the same again")
	}
	for _, g := range []Fake{NewFake(key, "r_pool", "somebody"), NewFake(key, "r_pooln", "obody"), NewFake(key[1:], "r_pool", "nobody")} {
		if bytes.Equal(f.Salt, g.Salt) || bytes.Equal(f.Verifier, g.Verifier) || f.ID == g.ID {
			t.Error("the same for others")
		}
	}
	salt, verifier := NewVerifier("pool", "user", "x")
	if len(f.Salt) != len(salt) || len(f.Verifier) != len(verifier) || len(SaltHex(f.Salt)) != len(SaltHex(salt)) {
		t.Error("differs in length")
	}
	v := new(big.Int).SetBytes(f.Verifier)
	if big.Jacobi(v, groupN) != 1 || big.Jacobi(new(big.Int).SetBytes(verifier), groupN) != 1 {
		t.Error("differs in quadratic character")
	}
	if _, err := NewChallenge(f.Verifier, "2"); err != nil {
		t.Error(err)
	}
}

func TestPowG(t *testing.T) {
	exponents := []*big.Int{big.NewInt(0), big.NewInt(1), big.NewInt(255), big.NewInt(256), num(strings.Repeat("f", 64)), num("1" + strings.Repeat("0", 63))}
	for range 20 {
		e, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 256))
		exponents = append(exponents, e)
	}
	withArithmetic(t, func(t *testing.T) {
		for _, e := range exponents {
			if powG(e).Cmp(new(big.Int).Exp(groupG, e, groupN)) != 0 {
				t.Errorf("g^%x", e)
			}
		}
	})
	for i, row := range powers() {
		for d, n := range row {
			if n.BitLen() < 3072-64 {
				t.Errorf("entry %d %d is short", i, d)
			}
		}
	}
}

func FuzzNewChallenge(f *testing.F) {
	_, verifier := NewVerifier("p", "u", "x")
	f.Add("2")
	f.Add(groupN.Text(16))
	f.Fuzz(func(t *testing.T, publicA string) {
		c, err := NewChallenge(verifier, publicA)
		if err != nil {
			return
		}
		back, err := parseState(c.State())
		if err != nil || back.a.Cmp(c.a) != 0 || back.b.Cmp(c.b) != 0 || back.u.Cmp(c.u) != 0 || !inGroup(back.a) {
			t.Fatalf("%v", err)
		}
	})
}

func BenchmarkCheckPassword(b *testing.B) {
	salt, verifier := NewVerifier("pool", "user", "secret")
	b.ReportAllocs()
	for b.Loop() {
		CheckPassword("pool", "user", "secret", salt, verifier)
	}
}

func BenchmarkNewChallenge(b *testing.B) {
	_, verifier := NewVerifier("pool", "user", "secret")
	A := newClient().A.Text(16)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := NewChallenge(verifier, A); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	salt, verifier := NewVerifier("pool", "user", "secret")
	c := newClient()
	challenge, _ := NewChallenge(verifier, c.A.Text(16))
	state := challenge.State()
	answer := Answer{PoolName: "pool", UserID: "user", SecretBlock: make([]byte, 600), Timestamp: "Wed Mar 4 05:06:07 UTC 2026"}
	answer.Signature = c.sign(answer, "secret", SaltHex(salt), challenge.PublicB)
	b.ReportAllocs()
	for b.Loop() {
		if err := Verify(state, verifier, answer, now); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewFake(b *testing.B) {
	for b.Loop() {
		NewFake([]byte("0123456789abcdef"), "pool", "user")
	}
}

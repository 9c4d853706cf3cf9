package token

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

var testKey, otherKey = mustKey(), mustKey()

func mustKey() *KeyPair {
	k, err := NewKeyPair()
	if err != nil {
		panic(err)
	}
	return k
}

var now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func b64(s string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(s))
}

func sign(t testing.TB, claims string) string {
	t.Helper()
	s := NewSigner(0)
	defer s.Close()
	tokens, err := s.Sign(context.Background(), []Job{{testKey, []byte(claims)}})
	if err != nil {
		t.Fatal(err)
	}
	return tokens[0]
}

// forge signs any header and payload with the RSA test key.
func forge(header, payload string) string {
	input := b64(header) + "." + b64(payload)
	sum := sha256.Sum256([]byte(input))
	sig, err := rsa.SignPKCS1v15(nil, testKey.private, crypto.SHA256, sum[:])
	if err != nil {
		panic(err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func verify(token string, key PublicKey) (Claims, error) {
	u, err := Parse(token)
	if err != nil {
		return Claims{}, err
	}
	return u.Verify(key)
}

func TestKeyPair(t *testing.T) {
	der, err := testKey.MarshalPKCS8()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseKeyPair(der)
	if err != nil || again.ID() != testKey.ID() || !again.private.Equal(testKey.private) {
		t.Fatal(err)
	}
	if raw, err := base64.StdEncoding.DecodeString(testKey.ID()); err != nil || len(raw) != 32 || len(testKey.ID()) != 44 {
		t.Errorf("kid %q", testKey.ID())
	}
	small, _ := pem.Decode([]byte(rsa1024))
	ec, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ecDER, _ := x509.MarshalPKCS8PrivateKey(ec)
	for _, bad := range [][]byte{nil, der[:100], small.Bytes, ecDER} {
		if _, err := ParseKeyPair(bad); err == nil {
			t.Errorf("accepted a key of %d bytes", len(bad))
		}
	}
}

// A key of 1024 bits, made for this test.
const rsa1024 = `-----BEGIN PRIVATE KEY-----
MIICdQIBADANBgkqhkiG9w0BAQEFAASCAl8wggJbAgEAAoGBAKktqnoDZIgjpReS
vIFgfHvWULT3UlBHNUhMBwkjFim1VTMDK76Y8Fq2Om7NG+rMQJUjPQTPAJGFVKTQ
5URRXyo/hcNZPo8zztTebu1AU/6x8u0MomiPiWTjk2b6l5z03v0V50c0lucHBLqk
S7lklZ5ogZD5qASkyTPMCPBbb3dnAgMBAAECgYBkkxpi+PteF9rAveJFA8hdkpZe
Tx3nTb32YgRYwTwexYeGER+DasaRFv57+oHbP1wxjUZsQmezG1GrveheigWJT8Ks
ZarUzBeLeSMPO/VNJa+98pm9H7fjnXOm57WXFg2guDgl/yZNWn0ZkOYmAQIgT6rX
5AmK+j79F+RQvcDBKQJBANTsiNzIo0UW+sR0h5XADpn63akeTF/LnWWOh6LEwpza
7EP8auVUX2O1C3JuuTlNlV+RstnifBisHdswvsVyqZsCQQDLZ4UxRwlsE+qg+cU+
Q209HsvwQw5A78sEuq488JR5PuNK9OfdjxnlW1BoAD1kwRQAskORy9WmI+kQWtIy
8BwlAkBWsn1D0NpSHno7FevDOPF5FyG8Y97bPrA3EuL9jrpjXezH/faUrFcu5R/l
F1qKD6IbyNqXR1YaQbLidiWnhfmzAkAiFy+TmrxRiOUCJdqRHOvqGodDtXlmGMqF
+GPLgubfi1K89V8HGzzT3AIV7DRd9p5Ln5UDko40UkB1pUMllmihAkAC2cwUzxMt
CsE904lrm7gMkKfI81o5xTpEqS8e543NRvyfNdlUrcRaKotcwHlT6uBR0xL2x4Vx
nXWyVMtuhsKq
-----END PRIVATE KEY-----`

func TestJWKS(t *testing.T) {
	document := JWKS(testKey.Public(), otherKey.Public())
	pattern := `^\{"keys":\[\{"alg":"RS256","e":"AQAB","kid":"[0-9A-Za-z+/]{43}=","kty":"RSA","n":"[0-9A-Za-z_-]{342}","use":"sig"\},\{"alg":"RS256",.*\}\]\}$`
	if !regexp.MustCompile(pattern).Match(document) {
		t.Errorf("%s", document)
	}
	if got := string(JWKS()); got != `{"keys":[]}` {
		t.Error(got)
	}
	keys, err := ParseJWKS(document)
	if err != nil || len(keys) != 2 || keys[0].ID != testKey.ID() || !sameKey(keys[0].Key, testKey.Public().Key) || keys[0].Algorithm != "RS256" {
		t.Errorf("%v %v", keys, err)
	}
	// Another implementation reads it, and finds the same thumbprint.
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(document, &set); err != nil || len(set.Keys) != 2 {
		t.Fatal(err)
	}
	thumb, _ := set.Keys[0].Thumbprint(crypto.SHA256)
	if base64.StdEncoding.EncodeToString(thumb) != testKey.ID() {
		t.Error("kid is not the thumbprint")
	}
}

func TestSigner(t *testing.T) {
	s := NewSigner(0)
	defer s.Close()
	a, b := `{"sub":"a","exp":1}`, `{"sub":"b"}`
	tokens, err := s.Sign(context.Background(), []Job{{testKey, []byte(a)}, {otherKey, []byte(b)}})
	if err != nil || len(tokens) != 2 {
		t.Fatal(err)
	}
	for i, want := range []struct {
		key    *KeyPair
		claims string
	}{{testKey, a}, {otherKey, b}} {
		header, _ := base64.RawURLEncoding.DecodeString(strings.Split(tokens[i], ".")[0])
		if string(header) != `{"kid":"`+want.key.ID()+`","alg":"RS256"}` {
			t.Errorf("header %s", header)
		}
		claims, err := verify(tokens[i], want.key.Public())
		if err != nil || string(claims.Raw()) != want.claims {
			t.Errorf("%v %s", err, claims.Raw())
		}
		// Another implementation agrees.
		jws, err := jose.ParseSignedCompact(tokens[i], []jose.SignatureAlgorithm{jose.RS256})
		if err != nil {
			t.Fatal(err)
		}
		if payload, err := jws.Verify(want.key.Public().Key); err != nil || string(payload) != want.claims {
			t.Errorf("go-jose: %v %s", err, payload)
		}
	}
	if _, err := verify(tokens[0], otherKey.Public()); !errors.Is(err, ErrSignature) {
		t.Errorf("other key: %v", err)
	}
}

// TestSignAs signs as identity pools do; go-jose reads the result.
func TestSignAs(t *testing.T) {
	s := NewSigner(0)
	defer s.Close()
	for _, algorithm := range []string{"RS256", "RS384", "RS512"} {
		k := testKey.As("us-east-1-1", "JWS", algorithm)
		signed, err := s.Sign(t.Context(), []Job{{Key: k, Claims: []byte(`{"sub":"a"}`)}})
		if err != nil {
			t.Fatal(err)
		}
		header, _, _ := strings.Cut(signed[0], ".")
		if text, _ := base64.RawURLEncoding.DecodeString(header); string(text) != `{"kid":"us-east-1-1","typ":"JWS","alg":"`+algorithm+`"}` {
			t.Errorf("%s: header %s", algorithm, text)
		}
		var set jose.JSONWebKeySet
		if err := json.Unmarshal(JWKS(k.Public()), &set); err != nil {
			t.Fatal(err)
		}
		jws, err := jose.ParseSignedCompact(signed[0], []jose.SignatureAlgorithm{jose.SignatureAlgorithm(algorithm)})
		if err != nil {
			t.Fatal(err)
		}
		if payload, err := jws.Verify(set.Key("us-east-1-1")[0]); err != nil || string(payload) != `{"sub":"a"}` {
			t.Errorf("%s: payload %s, error %v", algorithm, payload, err)
		}
		if set.Keys[0].Algorithm != algorithm {
			t.Errorf("%s: the key set says %s", algorithm, set.Keys[0].Algorithm)
		}
		u, err := Parse(signed[0])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := u.Verify(k.Public()); err != nil {
			t.Errorf("%s: %v", algorithm, err)
		}
		if _, err := u.Verify(testKey.Public()); algorithm != "RS256" && !errors.Is(err, ErrAlgorithm) {
			t.Errorf("%s: verified as RS256: %v", algorithm, err)
		}
	}
}

func TestSignerLimits(t *testing.T) {
	s := &Signer{queue: make(chan *unit, 1)} // nobody works yet
	ctx, cancel := context.WithCancel(context.Background())
	first := make(chan error)
	go func() {
		_, err := s.Sign(ctx, []Job{{testKey, []byte(`{}`)}})
		first <- err
	}()
	for !s.Full() {
		time.Sleep(time.Millisecond)
	}
	if _, err := s.Sign(context.Background(), []Job{{testKey, []byte(`{}`)}}); !errors.Is(err, ErrOverloaded) {
		t.Errorf("full queue: %v", err)
	}
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	u := <-s.queue
	if s.Full() {
		t.Error("an empty queue is full")
	}
	if u.sign(); !errors.Is(u.err, context.Canceled) || bytes.Count(u.tokens[0], []byte(".")) != 1 {
		t.Errorf("signed for nobody: %v", u.err)
	}

	s = NewSigner(8)
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			if _, err := s.Sign(context.Background(), []Job{{testKey, []byte(`{}`)}}); err != nil && !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
		})
	}
	s.Close()
	s.Close()
	wait.Wait()
	if _, err := s.Sign(context.Background(), nil); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestParse(t *testing.T) {
	good := sign(t, `{"iss":"i","sub":"s"}`)
	parts := strings.Split(good, ".")
	u, err := Parse(good)
	if err != nil || u.Issuer() != "i" || u.KeyID() != testKey.ID() || u.Algorithm() != "RS256" {
		t.Fatal(u, err)
	}
	public := testKey.Public()
	pemKey, _ := x509.MarshalPKIXPublicKey(public.Key)
	mac := func(key []byte) string {
		input := b64(`{"alg":"HS256","kid":"`+testKey.ID()+`"}`) + "." + parts[1]
		m := hmac.New(sha256.New, key)
		m.Write([]byte(input))
		return input + "." + base64.RawURLEncoding.EncodeToString(m.Sum(nil))
	}
	stray := func(s string) string { // the last character with other unused bits
		last := strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", s[len(s)-1])
		return s[:len(s)-1] + string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last^1])
	}
	header := `{"alg":"RS256","kid":"k"}`
	for _, c := range []struct {
		name, token string
		want        error
	}{
		{"good", good, nil},
		{"forged as good", forge(header, `{}`), nil},
		{"empty", "", ErrMalformed},
		{"two parts", parts[0] + "." + parts[1], ErrMalformed},
		{"four parts", good + ".", ErrMalformed},
		{"five parts", good + ".a.b", ErrMalformed},
		{"empty header", "." + parts[1] + "." + parts[2], ErrMalformed},
		{"empty payload", parts[0] + ".." + parts[2], ErrMalformed},
		{"empty signature", parts[0] + "." + parts[1] + ".", ErrMalformed},
		{"padding", parts[0] + "." + parts[1] + "." + parts[2] + "==", ErrMalformed},
		{"line end", good + "\n", ErrMalformed},
		{"line end within", parts[0][:4] + "\r\n" + parts[0][4:] + "." + parts[1] + "." + parts[2], ErrMalformed},
		{"standard alphabet", strings.NewReplacer("-", "+", "_", "/").Replace(forgeWith("-")), ErrMalformed},
		{"stray bits", parts[0] + "." + parts[1] + "." + stray(parts[2]), ErrMalformed},
		{"huge", good + strings.Repeat("A", MaxSize), ErrMalformed},
		{"JSON serialization", `{"payload":"` + parts[1] + `"}`, ErrMalformed},

		{"alg none", b64(`{"alg":"none"}`) + "." + parts[1] + ".AA", ErrAlgorithm},
		{"alg none without signature", b64(`{"alg":"none"}`) + "." + parts[1] + ".", ErrMalformed},
		{"alg None", b64(`{"alg":"None"}`) + "." + parts[1] + ".AA", ErrAlgorithm},
		{"alg missing", forge(`{"kid":"k"}`, `{}`), ErrMalformed},
		{"alg not a string", forge(`{"alg":["RS256"]}`, `{}`), ErrMalformed},
		{"alg in capitals", forge(`{"ALG":"RS256"}`, `{}`), ErrMalformed},
		{"HS256 with the public key as PEM", mac(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pemKey})), ErrAlgorithm},
		{"HS256 with the public key as DER", mac(pemKey), ErrAlgorithm},
		{"PS256", forge(`{"alg":"PS256"}`, `{}`), ErrAlgorithm},
		{"crit", forge(`{"alg":"RS256","crit":["exp"],"exp":1}`, `{}`), ErrMalformed},
		{"crit null", forge(`{"alg":"RS256","crit":null}`, `{}`), ErrMalformed},
		{"kid a number", forge(`{"alg":"RS256","kid":1}`, `{}`), ErrMalformed},
		{"alg twice", forge(`{"alg":"RS256","alg":"none"}`, `{}`), ErrMalformed},
		{"alg twice, escaped", forge(`{"alg":"RS256","\u0061lg":"none"}`, `{}`), ErrMalformed},
		{"header no object", forge(`["RS256"]`, `{}`), ErrMalformed},
		{"header two objects", forge(header+header, `{}`), ErrMalformed},

		{"claim twice", forge(header, `{"sub":"a","sub":"b"}`), ErrMalformed},
		{"nested claim twice", forge(header, `{"a":[{"b":1,"c":{"d":1,"d":2}}]}`), ErrMalformed},
		{"same name in different objects", forge(header, `{"a":{"b":1},"b":{"b":1}}`), nil},
		{"payload no object", forge(header, `"text"`), ErrMalformed},
		{"payload null", forge(header, `null`), ErrMalformed},
		{"payload no JSON", forge(header, `{"sub":}`), ErrMalformed},
		{"payload no UTF-8", forge(header, "{\"sub\":\"\xff\"}"), ErrMalformed},
		{"deep", forge(header, strings.Repeat(`{"a":`, 40)+"1"+strings.Repeat("}", 40)), ErrMalformed},
		{"deep array", forge(header, `{"a":`+strings.Repeat("[", 5000)+strings.Repeat("]", 5000)+"}"), ErrMalformed},
	} {
		if _, err := Parse(c.token); !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// forgeWith makes a token whose signature has a character of the URL alphabet.
func forgeWith(char string) string {
	for i := 0; ; i++ {
		token := forge(`{"alg":"RS256"}`, fmt.Sprintf(`{"i":%d}`, i))
		if strings.Contains(token[strings.LastIndex(token, "."):], char) {
			return token
		}
	}
}

func TestVerify(t *testing.T) {
	const claims = `{"sub":"s"}`
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	p521, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	weakBlock, _ := pem.Decode([]byte(rsa1024))
	weakKey, err := x509.ParsePKCS8PrivateKey(weakBlock.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	weak := weakKey.(*rsa.PrivateKey)
	by := func(alg jose.SignatureAlgorithm, key any) string {
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, nil)
		if err != nil {
			t.Fatal(err)
		}
		jws, err := s.Sign([]byte(claims))
		if err != nil {
			t.Fatal(err)
		}
		token, _ := jws.CompactSerialize()
		return token
	}
	weakToken := func() string {
		input := b64(`{"alg":"RS256"}`) + "." + b64(claims)
		sum := sha256.Sum256([]byte(input))
		sig, err := rsa.SignPKCS1v15(nil, weak, crypto.SHA256, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return input + "." + base64.RawURLEncoding.EncodeToString(sig)
	}
	rsaKey, ecKey := testKey.private, p256
	es := by(jose.ES256, p256)
	dot := strings.LastIndex(es, ".")
	rs := by(jose.RS256, rsaKey)
	altered := strings.Split(rs, ".")
	altered[1] = b64(`{"sub":"t"}`)
	for _, c := range []struct {
		name, token string
		key         PublicKey
		want        error
	}{
		{"RS256", rs, PublicKey{Key: &rsaKey.PublicKey}, nil},
		{"RS384", by(jose.RS384, rsaKey), PublicKey{Key: &rsaKey.PublicKey}, nil},
		{"RS512", by(jose.RS512, rsaKey), PublicKey{Key: &rsaKey.PublicKey, Algorithm: "RS512"}, nil},
		{"ES256", es, PublicKey{Key: &p256.PublicKey}, nil},
		{"ES384", by(jose.ES384, p384), PublicKey{Key: &p384.PublicKey}, nil},
		{"ES512", by(jose.ES512, p521), PublicKey{Key: &p521.PublicKey}, nil},
		{"payload changed", strings.Join(altered, "."), PublicKey{Key: &rsaKey.PublicKey}, ErrSignature},
		{"other key", rs, otherKey.Public(), ErrSignature},
		{"other algorithm than the key's", by(jose.RS384, rsaKey), testKey.Public(), ErrAlgorithm},
		{"RSA token, EC key", rs, PublicKey{Key: &ecKey.PublicKey}, ErrAlgorithm},
		{"EC token, RSA key", es, PublicKey{Key: &rsaKey.PublicKey}, ErrAlgorithm},
		{"other curve", es, PublicKey{Key: &p384.PublicKey}, ErrAlgorithm},
		{"EC signature cut", es[:dot+1] + es[dot+1:dot+85], PublicKey{Key: &p256.PublicKey}, ErrSignature},
		{"EC signature zero", es[:dot+1] + base64.RawURLEncoding.EncodeToString(make([]byte, 64)), PublicKey{Key: &p256.PublicKey}, ErrSignature},
		{"RSA signature cut", rs[:len(rs)-2], PublicKey{Key: &rsaKey.PublicKey}, ErrSignature},
		{"weak RSA key", weakToken(), PublicKey{Key: &weak.PublicKey}, ErrAlgorithm},
		{"secret as key", rs, PublicKey{Key: []byte("secret")}, ErrAlgorithm},
		{"no key", rs, PublicKey{}, ErrAlgorithm},
	} {
		got, err := verify(c.token, c.key)
		if !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if err == nil && string(got.Raw()) != claims || err != nil && len(got.Names()) != 0 {
			t.Errorf("%s: claims %s", c.name, got.Raw())
		}
	}
}

func TestClaims(t *testing.T) {
	c, err := parseObject([]byte(` { "s" : "a\u00e9\n" , "n":-5,"f":1.0,"e":1e3, "big":99999999999999999999,"l":["a","b"],"m":["a",1],"x":["a",null],
		"o":{"p":[{}]},"t":true,"z":null,"":"empty","q\"\\":"quoted","el":[] } `))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"s": "aé\n", "": "empty", "q\"\\": "quoted"} {
		if got, ok := c.String(name); !ok || got != want {
			t.Errorf("%q = %q %v", name, got, ok)
		}
	}
	for _, name := range []string{"n", "S", "t", "z", "l", "missing"} {
		if got, ok := c.String(name); ok {
			t.Errorf("%q is the string %q", name, got)
		}
	}
	if n, ok := c.Int("n"); !ok || n != -5 {
		t.Error(n, ok)
	}
	for _, name := range []string{"f", "e", "big", "s", "z", "missing"} {
		if got, ok := c.Int(name); ok {
			t.Errorf("%q is the integer %d", name, got)
		}
	}
	for name, want := range map[string][]string{"l": {"a", "b"}, "s": {"aé\n"}, "el": {}} {
		if got, ok := c.Strings(name); !ok || !slices.Equal(got, want) {
			t.Errorf("%q = %q %v", name, got, ok)
		}
	}
	for _, name := range []string{"m", "x", "o", "n", "z", "missing"} {
		if got, ok := c.Strings(name); ok {
			t.Errorf("%q is the list %q", name, got)
		}
	}
	if v, ok := c.Get("o"); !ok || string(v) != `{"p":[{}]}` {
		t.Errorf("%s", v)
	}
	if got := c.Names(); len(got) != 14 || got[0] != "s" || got[13] != "el" {
		t.Errorf("%q", got)
	}
}

func TestTimes(t *testing.T) {
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	var expired *ExpiredError
	var claim *ClaimError
	for _, c := range []struct {
		claims       string
		leeway       time.Duration
		expiry       any // nil, or a target for errors.As
		notBefore    error
		badNotBefore bool
	}{
		{claims: fmt.Sprintf(`{"exp":%d}`, at(time.Second))},
		{claims: fmt.Sprintf(`{"exp":%d}`, at(0)), expiry: &expired},
		{claims: fmt.Sprintf(`{"exp":%d}`, at(-time.Minute)), leeway: 61 * time.Second},
		{claims: fmt.Sprintf(`{"exp":%d}`, at(-time.Minute)), leeway: 60 * time.Second, expiry: &expired},
		{claims: `{}`, expiry: &claim},
		{claims: `{"exp":"9999999999"}`, expiry: &claim},
		{claims: `{"exp":9999999999.5}`, expiry: &claim},
		{claims: `{"exp":-9223372036854775808}`, expiry: &expired},
		{claims: fmt.Sprintf(`{"exp":%d,"nbf":%d,"iat":%d}`, at(time.Hour), at(0), at(0))},
		{claims: fmt.Sprintf(`{"exp":%d,"nbf":%d}`, at(time.Hour), at(time.Second)), notBefore: ErrNotYetValid},
		{claims: fmt.Sprintf(`{"exp":%d,"iat":%d}`, at(time.Hour), at(time.Second)), notBefore: ErrNotYetValid},
		{claims: fmt.Sprintf(`{"exp":%d,"nbf":%d}`, at(time.Hour), at(time.Minute)), leeway: time.Minute},
		{claims: fmt.Sprintf(`{"exp":%d,"nbf":"soon"}`, at(time.Hour)), badNotBefore: true},
	} {
		claims, err := parseObject([]byte(c.claims))
		if err != nil {
			t.Fatal(err)
		}
		if err := claims.CheckExpiry(now, c.leeway); (err == nil) != (c.expiry == nil) || err != nil && !errors.As(err, c.expiry) {
			t.Errorf("%s expiry: %v", c.claims, err)
		}
		err = claims.CheckNotBefore(now, c.leeway)
		if c.badNotBefore {
			if !errors.As(err, &claim) {
				t.Errorf("%s not before: %v", c.claims, err)
			}
		} else if !errors.Is(err, c.notBefore) || c.notBefore == nil && err != nil {
			t.Errorf("%s not before: %v", c.claims, err)
		}
	}
}

func TestVerifiedCache(t *testing.T) {
	cache := NewVerifiedCache(2)
	asked := 0
	key := func(u *Unverified) (PublicKey, error) {
		asked++
		if u.KeyID() != testKey.ID() {
			return PublicKey{}, ErrKeyNotFound
		}
		return testKey.Public(), nil
	}
	token := func(sub string, exp time.Duration) string {
		return sign(t, fmt.Sprintf(`{"sub":"%s","exp":%d}`, sub, now.Add(exp).Unix()))
	}
	a, b, c := token("a", time.Hour), token("b", time.Minute), token("c", time.Hour)
	check := func(what, tok string, when time.Time, wantAsked int, want error) {
		t.Helper()
		asked = 0
		claims, err := cache.Verify(tok, when, key)
		if !errors.Is(err, want) || want == nil && (err != nil || len(claims.Names()) != 2) || asked != wantAsked {
			t.Errorf("%s: %v, asked %d", what, err, asked)
		}
		if len(cache.entries) > 2 || cache.recent.Len() != len(cache.entries) {
			t.Errorf("%s: %d entries", what, len(cache.entries))
		}
	}
	check("first", a, now, 1, nil)
	check("again", a, now, 0, nil)
	check("signature changed", a[:len(a)-8]+"AAAAAAAA", now, 1, ErrSignature)
	check("other", b, now, 1, nil)
	check("not known", forge(`{"alg":"RS256","kid":"x"}`, `{}`), now, 1, ErrKeyNotFound)
	check("again still", a, now.Add(time.Minute-time.Second), 0, nil)
	var expired *ExpiredError
	if _, err := cache.Verify(b, now.Add(time.Minute), key); !errors.As(err, &expired) || expired.Expires != now.Add(time.Minute).Unix() {
		t.Errorf("expired: %v", err)
	}
	if len(cache.entries) != 1 {
		t.Error("expired token kept")
	}
	check("b", b, now, 1, nil)
	check("a", a, now, 0, nil)
	check("c puts b out", c, now, 1, nil)
	check("a stays", a, now, 0, nil)
	check("b is gone", b, now, 1, nil)
	cache.RemoveKey("another")
	check("kept", b, now, 0, nil)
	cache.RemoveKey(testKey.ID())
	if len(cache.entries) != 0 {
		t.Error("kept tokens of a removed key")
	}
	check("after removal", b, now, 1, nil)

	// A key that is removed while a token is verified with it.
	cache.RemoveKey(testKey.ID())
	if _, err := cache.Verify(b, now, func(u *Unverified) (PublicKey, error) {
		cache.RemoveKey(testKey.ID())
		return testKey.Public(), nil
	}); err != nil || len(cache.entries) != 0 {
		t.Error("remembered with a removed key", err)
	}
}

// A token is remembered for a time only: until then nobody would notice that its key was withdrawn.
func TestVerifiedCacheForgets(t *testing.T) {
	cache := NewVerifiedCache(2)
	withdrawn := false
	key := func(*Unverified) (PublicKey, error) {
		if withdrawn {
			return PublicKey{}, ErrKeyNotFound
		}
		return testKey.Public(), nil
	}
	tok := sign(t, fmt.Sprintf(`{"exp":%d}`, now.Add(10*365*24*time.Hour).Unix()))
	if _, err := cache.Verify(tok, now, key); err != nil {
		t.Fatal(err)
	}
	withdrawn = true
	for minute := time.Duration(0); ; minute += time.Minute {
		_, err := cache.Verify(tok, now.Add(minute), key)
		if errors.Is(err, ErrKeyNotFound) {
			break
		}
		if err != nil || minute > 30*time.Minute {
			t.Fatalf("after %s: %v", minute, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(forge(`{"alg":"RS256","kid":"k"}`, `{"sub":"a","aud":["b"],"exp":5}`))
	f.Add(b64(`{"alg":"ES256"}`) + "." + b64(`{"a":{"b":[1,2,{"c":"\u0000"}]}}`) + ".AAAA")
	f.Fuzz(func(t *testing.T, token string) {
		u, err := Parse(token)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrAlgorithm) {
				t.Fatal(err)
			}
			return
		}
		if strings.Count(token, ".") != 2 {
			t.Fatal("parts")
		}
		// Another implementation reads the same.
		jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512})
		if err == nil && jws.Signatures[0].Header.Algorithm != u.Algorithm() {
			t.Fatalf("%q %q", jws.Signatures[0].Header.Algorithm, u.Algorithm())
		}
	})
}

func FuzzClaims(f *testing.F) {
	f.Add(`{"a":{"b":[1,2,{"c":"\u0000"}]},"d":-1.5e3,"e":null,"\u0061b":"\"\\"}`)
	f.Fuzz(func(t *testing.T, data string) {
		c, err := parseObject([]byte(data))
		if err != nil {
			return
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal([]byte(data), &want); err != nil || len(want) != len(c.Names()) {
			t.Fatalf("%v: %q, names %q", err, data, c.Names())
		}
		for name, value := range want {
			if got, ok := c.Get(name); !ok || !bytes.Equal(bytes.TrimSpace(got), bytes.TrimSpace(value)) {
				t.Fatalf("%q: %q = %q, want %q", data, name, got, value)
			}
			var s string
			if got, ok := c.String(name); ok && (json.Unmarshal(value, &s) != nil || s != got) {
				t.Fatalf("%q: %q = %q", data, name, got)
			}
		}
	})
}

const benchClaims = `{"sub":"7d8ca528-4931-4254-9273-ea5ee853f271","iss":"https://cognito-idp.us-east-1.amazonaws.com/us-east-1_EXAMPLE01","client_id":"1h57kf5cpq17m0eml12EXAMPLE",` +
	`"origin_jti":"7d8ca528-4931-4254-9273-ea5ee853f271","event_id":"7d8ca528-4931-4254-9273-ea5ee853f271","token_use":"access","scope":"aws.cognito.signin.user.admin",` +
	`"auth_time":1772600767,"exp":4102444800,"iat":1772600767,"jti":"7d8ca528-4931-4254-9273-ea5ee853f271","username":"7d8ca528-4931-4254-9273-ea5ee853f271","cognito:groups":["admins","users"]}`

func BenchmarkSignPair(b *testing.B) {
	s := NewSigner(0)
	defer s.Close()
	jobs := []Job{{testKey, []byte(benchClaims)}, {otherKey, []byte(benchClaims)}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Sign(context.Background(), jobs); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	token := sign(b, benchClaims)
	key := func(*Unverified) (PublicKey, error) { return testKey.Public(), nil }
	b.Run("uncached", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := verify(token, testKey.Public()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("cached", func(b *testing.B) {
		cache := NewVerifiedCache(10)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := cache.Verify(token, now, key); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Parse(token); err != nil {
				b.Fatal(err)
			}
		}
	})
}

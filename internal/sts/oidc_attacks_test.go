package sts_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdkiam "github.com/aws/aws-sdk-go-v2/service/iam"
	sdksts "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/go-jose/go-jose/v4"

	"usher/internal/token"
)

// provider is an OpenID Connect provider of many tenants, each with documents of its own.
type provider struct {
	*httptest.Server
	mu          sync.Mutex
	tenants     map[string]*tenant
	connections atomic.Int32
}

type tenant struct {
	issuer          string // its URL
	discovery, keys string // documents; an empty discovery document is the right one
	status          int    // of the key set, if not 200
	location        string // of a redirect
	fetches         int    // of the key set
}

func newProvider(t *testing.T, tls bool) *provider {
	p := &provider{tenants: map[string]*tenant{}}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		name, document, _ := strings.Cut(r.URL.Path[1:], "/")
		p.mu.Lock()
		defer p.mu.Unlock()
		d := p.tenants[name]
		switch {
		case d == nil:
			http.NotFound(rw, r)
		case document == ".well-known/openid-configuration" && d.discovery != "":
			fmt.Fprint(rw, d.discovery)
		case document == ".well-known/openid-configuration":
			fmt.Fprintf(rw, `{"issuer":%q,"jwks_uri":%q}`, d.issuer, d.issuer+"/keys")
		case document == "keys" && d.status != 0:
			d.fetches++
			rw.Header().Set("Location", d.location)
			rw.WriteHeader(d.status)
			fmt.Fprint(rw, d.keys)
		default: // also where a redirect leads
			d.fetches++
			fmt.Fprint(rw, d.keys)
		}
	}))
	p.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			p.connections.Add(1)
		}
	}
	if tls {
		p.StartTLS()
	} else {
		p.Start()
	}
	t.Cleanup(p.Close)
	return p
}

// tenant makes a tenant with a key set.
func (p *provider) tenant(name, keys string) *tenant {
	d := &tenant{issuer: p.URL + "/" + name, keys: keys}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tenants[name] = d
	return d
}

func (p *provider) fetches(d *tenant) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return d.fetches
}

func (p *provider) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// signKey is a private key under an id.
type signKey struct {
	kid string
	key crypto.Signer
}

func (k signKey) sign(t testing.TB, alg string, c claims) string {
	t.Helper()
	s := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: jose.JSONWebKey{Key: k.key, KeyID: k.kid}}, nil))(t)
	return must(must(s.Sign(must(json.Marshal(c))(t)))(t).CompactSerialize())(t)
}

// keySet is what a provider publishes; alg may be empty.
func keySet(t testing.TB, alg string, keys ...signKey) string {
	t.Helper()
	set := jose.JSONWebKeySet{}
	for _, k := range keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.key.Public(), KeyID: k.kid, Algorithm: alg, Use: "sig"})
	}
	return string(must(json.Marshal(set))(t))
}

// roleOf registers an issuer with a client and makes a role for its subject s-1.
func (w *world) roleOf(t testing.TB, issuer, name string) *string {
	t.Helper()
	admin := w.key(w.a)
	arn := *must(admin.IAM.CreateOpenIDConnectProvider(w.ctx(), &sdkiam.CreateOpenIDConnectProviderInput{Url: &issuer, ClientIDList: []string{"app", "app2"}}))(t).OpenIDConnectProviderArn
	_, host, _ := strings.Cut(issuer, "://")
	return w.role(admin, name, `{"Effect":"Allow","Principal":{"Federated":"`+arn+`"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"`+host+`:aud":"app","`+host+`:sub":"s-1"}}}`, "")
}

func (w *world) assumeWeb(role *string, token string) error {
	_, err := w.nobody().AssumeRoleWithWebIdentity(w.ctx(), &sdksts.AssumeRoleWithWebIdentityInput{RoleArn: role, RoleSessionName: aws.String("web"), WebIdentityToken: &token})
	return err
}

const (
	webDenied    = "AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity"
	webNotJWT    = "InvalidIdentityToken: The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"
	webNoKey     = "InvalidIdentityToken: Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements"
	webSignature = "InvalidIdentityToken: The signature of the provided ID Token is invalid"
	webNotYet    = "InvalidIdentityToken: The ID Token provided is not valid yet"
	webAudience  = "InvalidIdentityToken: Incorrect token audience"
	webAudiences = "InvalidIdentityToken: Token audience contains more than one audience while authorized party is not present"
)

// TestOIDCAttacks: what an attacker can do to a token, and to the documents of a provider, each through the API with a
// provider of its own.
func TestOIDCAttacks(t *testing.T) {
	w := start(t, sqlite(t))
	p := newProvider(t, false)
	rsaKey := func(bits int) crypto.Signer { return must(rsa.GenerateKey(rand.Reader, bits))(t) }
	ecKey := func(c elliptic.Curve) crypto.Signer { return must(ecdsa.GenerateKey(c, rand.Reader))(t) }
	good, mallory, weak := signKey{"k", rsaKey(2048)}, signKey{"k", rsaKey(2048)}, signKey{"weak", rsaKey(1024)}
	other := signKey{"other", mallory.key}
	p256, p384, p521 := signKey{"p256", ecKey(elliptic.P256())}, signKey{"p384", ecKey(elliptic.P384())}, signKey{"p521", ecKey(elliptic.P521())}
	edwards := signKey{"ed", must2(ed25519.GenerateKey(rand.Reader))(t)}
	var many []signKey
	for i := range token.MaxKeys + 1 {
		many = append(many, signKey{fmt.Sprint(i), good.key})
	}
	neighbour := p.tenant("neighbour", keySet(t, "", good))
	w.roleOf(t, neighbour.issuer, "neighbour")
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(good.key.Public()))(t)})
	malloryJWK := string(must(json.Marshal(jose.JSONWebKey{Key: mallory.key.Public(), KeyID: "k"}))(t))

	now := time.Now().Unix()
	attack := func(name, want string, change func(d *tenant), make func(c claims) string) {
		t.Helper()
		d := p.tenant(name, keySet(t, "", good, p256, p384, p521, weak, edwards))
		if change != nil {
			change(d)
		}
		role := w.roleOf(t, d.issuer, name)
		c := claims{"iss": d.issuer, "aud": "app", "sub": "s-1", "iat": now, "exp": now + 3600}
		if got := failure(w.assumeWeb(role, make(c))); got != want {
			t.Errorf("%s: %s\nwant %s", name, got, want)
		}
	}
	signed := func(k signKey, alg string, kv ...any) func(claims) string {
		return func(c claims) string { return k.sign(t, alg, with(c, kv...)) }
	}
	forged := func(header string, key []byte) func(claims) string {
		return func(c claims) string { return forge(t, header, c, key) }
	}
	const ok = "<nil>"

	// Algorithms that AWS accepts, and no others.
	for _, alg := range []string{"RS256", "RS384", "RS512"} {
		attack(alg, ok, nil, signed(good, alg))
	}
	attack("ES256", ok, nil, signed(p256, "ES256"))
	attack("ES384", ok, nil, signed(p384, "ES384"))
	attack("ES512", ok, nil, signed(p521, "ES512"))
	attack("PS256", webNotJWT, nil, signed(good, "PS256"))
	attack("EdDSA", webNotJWT, nil, signed(edwards, "EdDSA"))
	for i, alg := range []string{"none", "None", "NONE", "nOnE", ""} {
		attack(fmt.Sprint("none-", i), webNotJWT, nil, forged(`{"alg":"`+alg+`","kid":"k"}`, nil))
		attack(fmt.Sprint("none-signed-", i), webNotJWT, nil, forged(`{"alg":"`+alg+`","kid":"k"}`, []byte("x")))
	}
	attack("RSA-1024", webNoKey, nil, signed(weak, "RS256"))

	// The issuer.
	attack("iss-of-neighbour", webSignature, nil, func(c claims) string { return mallory.sign(t, "RS256", with(c, "iss", neighbour.issuer)) })
	attack("iss-of-neighbour-and-its-key", webDenied, nil, func(c claims) string { return good.sign(t, "RS256", with(c, "iss", neighbour.issuer)) })
	attack("iss-unknown", "InvalidIdentityToken: No OpenIDConnect provider found in your account for https://evil.example", nil, signed(good, "RS256", "iss", "https://evil.example"))
	attack("iss-with-slash", "InvalidIdentityToken: No OpenIDConnect provider found in your account for "+p.URL+"/iss-with-slash/", nil, func(c claims) string {
		return good.sign(t, "RS256", with(c, "iss", c["iss"].(string)+"/"))
	})
	attack("iss-in-capitals", "InvalidIdentityToken: No OpenIDConnect provider found in your account for "+p.URL+"/ISS-IN-CAPITALS", nil, func(c claims) string {
		return good.sign(t, "RS256", with(c, "iss", p.URL+"/ISS-IN-CAPITALS"))
	})
	attack("iss-list", "InvalidIdentityToken: Missing a required claim: iss.", nil, func(c claims) string { return good.sign(t, "RS256", with(c, "iss", []any{c["iss"]})) })
	attack("discovery-of-neighbour", webNoKey, func(d *tenant) {
		d.discovery = fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q}`, neighbour.issuer, neighbour.issuer+"/keys")
	}, signed(good, "RS256"))

	// Audience and authorized party.
	attack("aud-wrong", webAudience, nil, signed(good, "RS256", "aud", "evil"))
	attack("aud-of-another-client", webDenied, nil, signed(good, "RS256", "aud", "app2"))
	attack("aud-list-of-one", ok, nil, signed(good, "RS256", "aud", []string{"app"}))
	attack("aud-list", webAudiences, nil, signed(good, "RS256", "aud", []string{"app", "evil"}))
	attack("aud-list-azp", ok, nil, signed(good, "RS256", "aud", []string{"evil", "app2"}, "azp", "app"))
	attack("aud-list-wrong-azp", webAudience, nil, signed(good, "RS256", "aud", []string{"app", "app2"}, "azp", "evil"))
	attack("azp-of-another-client", webDenied, nil, signed(good, "RS256", "azp", "app2"))
	attack("azp-wrong", webAudience, nil, signed(good, "RS256", "azp", "evil"))
	attack("aud-empty-list", "InvalidIdentityToken: Missing a required claim: aud.", nil, signed(good, "RS256", "aud", []string{}))
	attack("aud-null", "InvalidIdentityToken: Missing a required claim: aud.", nil, signed(good, "RS256", "aud", []any{nil}))

	// Times.
	attack("nbf-future", webNotYet, nil, signed(good, "RS256", "nbf", now+900))
	attack("nbf-skew", ok, nil, signed(good, "RS256", "nbf", now+120))
	attack("iat-future", webNotYet, nil, signed(good, "RS256", "iat", now+900))
	attack("iat-text", "InvalidIdentityToken: Missing a required claim: iat.", nil, signed(good, "RS256", "iat", fmt.Sprint(now)))
	attack("exp-fraction", "InvalidIdentityToken: Missing a required claim: exp.", nil, signed(good, "RS256", "exp", float64(now)+3600.5))
	attack("exp-text", "InvalidIdentityToken: Missing a required claim: exp.", nil, signed(good, "RS256", "exp", fmt.Sprint(now+3600)))

	// Keys that are not what they are taken for.
	attack("HS256-with-public-key", webNotJWT, nil, forged(`{"alg":"HS256","kid":"k"}`, publicPEM))
	attack("HMAC-called-RS256", webSignature, nil, forged(`{"alg":"RS256","kid":"k"}`, publicPEM))
	attack("RS256-with-EC-kid", webNotJWT, nil, signed(signKey{"p256", mallory.key}, "RS256"))
	attack("ES256-with-RSA-kid", webNotJWT, nil, signed(signKey{"k", p256.key}, "ES256"))
	attack("ES384-with-P-256-kid", webNotJWT, nil, signed(signKey{"p256", p384.key}, "ES384"))
	attack("alg-of-the-key", webNotJWT, func(d *tenant) { d.keys = keySet(t, "RS512", good) }, signed(good, "RS256"))
	attack("key-in-header", webSignature, nil, func(c claims) string { return resign(t, mallory, `{"alg":"RS256","kid":"k","jwk":`+malloryJWK+`}`, c) })
	attack("key-set-in-header", webSignature, nil, func(c claims) string {
		return resign(t, mallory, `{"alg":"RS256","kid":"k","jku":"`+p.URL+`/mallory/keys"}`, c)
	})
	attack("critical-header", webNotJWT, nil, func(c claims) string {
		return resign(t, good, `{"alg":"RS256","kid":"k","crit":["b64"],"b64":true}`, c)
	})
	attack("header-says-twice", webNotJWT, nil, func(c claims) string { return resign(t, good, `{"alg":"RS256","alg":"none","kid":"k"}`, c) })
	attack("kid-missing", webNoKey, nil, func(c claims) string { return resign(t, good, `{"alg":"RS256"}`, c) })
	attack("kid-is-a-path", webNoKey, nil, func(c claims) string { return resign(t, mallory, `{"alg":"RS256","kid":"../../mallory/keys"}`, c) })
	attack("kid-unknown", webNoKey, nil, signed(other, "RS256"))
	attack("another-key", webSignature, nil, signed(mallory, "RS256"))
	attack("payload-exchanged", webSignature, nil, func(c claims) string {
		part := strings.Split(good.sign(t, "RS256", with(c, "sub", "s-2")), ".")
		part[1] = base64.RawURLEncoding.EncodeToString(must(json.Marshal(c))(t))
		return strings.Join(part, ".")
	})
	attack("another-subject", webDenied, nil, signed(good, "RS256", "sub", "s-2"))

	// Key sets.
	attack("kid-twice", webNoKey, func(d *tenant) { d.keys = keySet(t, "", good, mallory) }, signed(good, "RS256"))
	attack("kid-twice-mallory", webNoKey, func(d *tenant) { d.keys = keySet(t, "", good, mallory) }, signed(mallory, "RS256"))
	attack("kid-twice-same-key", ok, func(d *tenant) { d.keys = keySet(t, "", good, good) }, signed(good, "RS256"))
	attack("keys-without-end", webNoKey, func(d *tenant) { d.keys = strings.Repeat(" ", 1<<20) + d.keys }, signed(good, "RS256"))
	attack("too-many-keys", webNoKey, func(d *tenant) { d.keys = keySet(t, "", many...) }, signed(many[0], "RS256"))
	attack("symmetric-key", webNoKey, func(d *tenant) { d.keys = `{"keys":[{"kty":"oct","kid":"k","k":"eA"}]}` }, signed(good, "RS256"))
	attack("no-key-set", webNoKey, func(d *tenant) { d.keys = "<html>" }, signed(good, "RS256"))
	attack("keys-error", webNoKey, func(d *tenant) { d.status = 500 }, signed(good, "RS256"))
	for _, status := range []int{301, 302, 303, 307, 308} { // to the right keys, even
		attack(fmt.Sprint("keys-redirect-", status), webNoKey, func(d *tenant) { d.status, d.location = status, d.issuer+"/moved" }, signed(good, "RS256"))
	}
	for name, uri := range map[string]string{
		"file": "file:///etc/passwd", "data": "data:application/json,{}", "metadata": "http://169.254.169.254/latest", "metadata-tls": "https://169.254.169.254/latest",
		"private": "https://10.0.0.1/keys", "mapped-private": "https://[::ffff:10.0.0.1]/keys", "unique-local": "https://[fd00:ec2::254]/keys", "translated": "https://[64:ff9b::a9fe:a9fe]/keys",
		"user": "http://u:p@127.0.0.1/keys", "unspecified": "https://0.0.0.0/keys", "http-elsewhere": "http://192.0.2.1/keys", "none": "",
	} {
		attack("jwks-uri-"+name, webNoKey, func(d *tenant) { d.discovery = fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q}`, d.issuer, uri) }, signed(good, "RS256"))
	}
}

// resign signs a header as it is given.
func resign(t testing.TB, k signKey, header string, c claims) string {
	t.Helper()
	enc := base64.RawURLEncoding
	input := enc.EncodeToString([]byte(header)) + "." + enc.EncodeToString(must(json.Marshal(c))(t))
	digest := crypto.SHA256.New()
	digest.Write([]byte(input))
	return input + "." + enc.EncodeToString(must(k.key.Sign(rand.Reader, digest.Sum(nil), crypto.SHA256))(t))
}

func must2[A, T any](_ A, v T, err error) func(testing.TB) T { return must(v, err) }

// TestOIDCInternalAddresses: without the setting that allows it, no connection is made to this machine, whatever name it is
// given.
func TestOIDCInternalAddresses(t *testing.T) {
	w := start(t, sqlite(t))
	p := newProvider(t, true)
	roots := x509.NewCertPool()
	roots.AddCert(p.Certificate())
	w.sts.Remote = &token.Remote{RootCAs: roots, Now: w.now}
	key := signKey{"k", must(rsa.GenerateKey(rand.Reader, 2048))(t)}
	d := p.tenant("t", keySet(t, "", key))
	_, port, _ := strings.Cut(strings.TrimPrefix(p.URL, "https://"), ":")
	now := time.Now().Unix()
	for i, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "127.0.0.2", "[::1]"} {
		issuer := "https://" + host + ":" + port + "/t"
		p.set(func() { d.issuer = issuer })
		role := w.roleOf(t, issuer, fmt.Sprint("internal", i))
		if got := failure(w.assumeWeb(role, key.sign(t, "RS256", claims{"iss": issuer, "aud": "app", "sub": "s-1", "iat": now, "exp": now + 60}))); got != webNoKey {
			t.Errorf("%s: %s", issuer, got)
		}
	}
	if n := p.connections.Load(); n != 0 {
		t.Errorf("%d connections to internal addresses", n)
	}
}

// TestOIDCKeyRotation: keys are fetched again for the sake of an unknown one, but not often, and what a provider has
// withdrawn is good for nothing any more, tokens that were accepted before included.
func TestOIDCKeyRotation(t *testing.T) {
	w := start(t, sqlite(t))
	p := newProvider(t, false)
	rsaKey := func(kid string) signKey { return signKey{kid, must(rsa.GenerateKey(rand.Reader, 2048))(t)} }
	first, second := rsaKey("first"), rsaKey("second")
	d := p.tenant("t", keySet(t, "", first))
	role := w.roleOf(t, d.issuer, "app")
	now := time.Now().Unix()
	claims := claims{"iss": d.issuer, "aud": "app", "sub": "s-1", "iat": now, "exp": now + 48*3600}
	old, fresh := first.sign(t, "RS256", claims), second.sign(t, "RS256", claims)
	check := func(what, token, want string, fetches int) {
		t.Helper()
		before := p.fetches(d)
		if got := failure(w.assumeWeb(role, token)); got != want || p.fetches(d)-before != fetches {
			t.Errorf("%s: %s, %d fetches; want %s, %d fetches", what, got, p.fetches(d)-before, want, fetches)
		}
	}
	const ok = "<nil>"
	check("first key", old, ok, 1)
	check("again", old, ok, 0)
	check("unknown key, right after a fetch", fresh, webNoKey, 0)
	check("other unknown keys", signKey{"third", second.key}.sign(t, "RS256", claims), webNoKey, 0)
	p.set(func() { d.keys = keySet(t, "", first, second) })
	w.shift.Add(int64(time.Minute))
	check("second key, a minute later", fresh, ok, 1)
	check("first key beside it", first.sign(t, "RS256", with(claims, "jti", 1)), ok, 0)
	p.set(func() { d.keys = keySet(t, "", second) })
	w.shift.Add(int64(2 * time.Hour))
	check("second key alone", second.sign(t, "RS256", with(claims, "jti", 2)), ok, 1)
	check("a token of the withdrawn key that was accepted before", old, webNoKey, 0)
	check("a new one of it", first.sign(t, "RS256", with(claims, "jti", 3)), webNoKey, 0)

	p.set(func() { d.status = 503 })
	w.shift.Add(int64(2 * time.Hour))
	check("provider down, known key", second.sign(t, "RS256", with(claims, "jti", 4)), ok, 1)
	check("not asked again at once", second.sign(t, "RS256", with(claims, "jti", 5)), ok, 0)
	check("unknown key while it is down", signKey{"third", first.key}.sign(t, "RS256", claims), webNoKey, 0)
	w.shift.Add(int64(25 * time.Hour))
	check("down for a day", second.sign(t, "RS256", with(claims, "jti", 6)), webNoKey, 1)
	check("refusal is remembered", second.sign(t, "RS256", with(claims, "jti", 6)), webNoKey, 0)
	p.set(func() { d.status = 0 })
	w.shift.Add(int64(10 * time.Second))
	check("up again", second.sign(t, "RS256", with(claims, "jti", 6)), ok, 1)
}

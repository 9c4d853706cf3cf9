package token

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// provider is an OpenID Connect provider on loopback.
type provider struct {
	*httptest.Server
	discovery, jwks string // bodies; empty discovery: a right one
	header          http.Header
	status          int
	fetches         atomic.Int32 // of the key set
	mu              sync.Mutex
	hold            chan struct{} // the key set waits for it, if set
}

func newProvider(t *testing.T, tls bool) *provider {
	p := &provider{jwks: string(JWKS(testKey.Public())), header: http.Header{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /tenant/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.discovery == "" {
			fmt.Fprintf(w, `{"issuer":"%s/tenant","jwks_uri":"%s/keys"}`, p.URL, p.URL)
			return
		}
		fmt.Fprint(w, p.discovery)
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, r *http.Request) {
		p.fetches.Add(1)
		p.mu.Lock()
		hold, jwks, status := p.hold, p.jwks, p.status
		for k, v := range p.header {
			w.Header()[k] = v
		}
		p.mu.Unlock()
		if hold != nil {
			<-hold
		}
		if status != 0 {
			w.WriteHeader(status)
		}
		fmt.Fprint(w, jwks)
	})
	if tls {
		p.Server = httptest.NewUnstartedServer(mux)
		p.Server.Config.ErrorLog = nil
		p.StartTLS()
	} else {
		p.Server = httptest.NewServer(mux)
	}
	t.Cleanup(p.Close)
	return p
}

func (p *provider) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

func (p *provider) issuer() Issuer {
	return Issuer{URL: p.URL + "/tenant"}
}

// clock is a time that only the test moves.
type clock struct{ at atomic.Int64 }

func (c *clock) Now() time.Time          { return now.Add(time.Duration(c.at.Load())) }
func (c *clock) advance(d time.Duration) { c.at.Add(int64(d)) }

func TestRemote(t *testing.T) {
	p, c := newProvider(t, false), &clock{}
	var removed []string
	r := &Remote{AllowHTTP: true, Now: c.Now, Removed: func(id string) { removed = append(removed, id) }}
	check := func(what, kid string, wantFetches int32, want error) {
		t.Helper()
		p.fetches.Store(0)
		key, err := r.Key(context.Background(), p.issuer(), kid)
		if !errors.Is(err, want) || want == nil && (err != nil || key.ID != kid || key.Key == nil) || p.fetches.Load() != wantFetches {
			t.Errorf("%s: %v, %d fetches", what, err, p.fetches.Load())
		}
	}
	check("first", testKey.ID(), 1, nil)
	check("cached", testKey.ID(), 0, nil)
	check("unknown", otherKey.ID(), 0, ErrKeyNotFound) // fetched a moment ago
	c.advance(time.Minute)
	check("unknown a minute later", otherKey.ID(), 1, ErrKeyNotFound)
	check("unknown again", "x", 0, ErrKeyNotFound)
	p.set(func() { p.jwks = string(JWKS(otherKey.Public())) })
	c.advance(59 * time.Second)
	check("rotated, too early", otherKey.ID(), 0, ErrKeyNotFound)
	c.advance(time.Second)
	check("rotated", otherKey.ID(), 1, nil)
	if !slices.Equal(removed, []string{testKey.ID()}) {
		t.Errorf("removed %q", removed)
	}
	check("old key", testKey.ID(), 0, ErrKeyNotFound)

	c.advance(time.Hour - time.Second)
	check("within its age", otherKey.ID(), 0, nil)
	c.advance(time.Second)
	check("at its age", otherKey.ID(), 1, nil)
	c.advance(time.Hour)
	p.set(func() { p.status = 500 })
	check("stale while down", otherKey.ID(), 1, nil)
	check("not asked again at once", otherKey.ID(), 0, nil)
	check("unknown while down", "x", 0, ErrUnreachable)
	c.advance(retryAfter)
	check("asked again", otherKey.ID(), 1, nil)
	c.advance(maxStale)
	check("too stale", otherKey.ID(), 1, ErrUnreachable)
	p.set(func() { p.status = 0; p.header.Set("Cache-Control", "public, max-age=600") })
	c.advance(retryAfter)
	check("up again", otherKey.ID(), 1, nil)
	c.advance(599 * time.Second)
	check("within max-age", otherKey.ID(), 0, nil)
	c.advance(time.Second)
	check("after max-age", otherKey.ID(), 1, nil)
	if err := r.Refresh(context.Background(), p.issuer()); err != nil {
		t.Error(err)
	}
}

func TestRemoteRefusals(t *testing.T) {
	discovery := func(issuer, jwks string) func(*provider) {
		return func(p *provider) {
			p.discovery = fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q}`, strings.ReplaceAll(issuer, "SELF", p.URL), strings.ReplaceAll(jwks, "SELF", p.URL))
		}
	}
	keys := func(document string) func(*provider) { return func(p *provider) { p.jwks = document } }
	many := make([]PublicKey, MaxKeys+1)
	for i := range many {
		many[i] = PublicKey{ID: fmt.Sprint(i), Key: testKey.Public().Key}
	}
	for _, c := range []struct {
		name   string
		change func(*provider)
		ok     bool
	}{
		{"as it should be", discovery("SELF/tenant", "SELF/keys"), true},
		{"another issuer", discovery("SELF/other", "SELF/keys"), false},
		{"issuer with a slash", discovery("SELF/tenant/", "SELF/keys"), false},
		{"no jwks_uri", discovery("SELF/tenant", ""), false},
		{"file as jwks_uri", discovery("SELF/tenant", "file:///etc/passwd"), false},
		{"user in jwks_uri", discovery("SELF/tenant", "http://u:p@127.0.0.1/keys"), false},
		{"http to a host that is not local", discovery("SELF/tenant", "http://192.0.2.1/keys"), false},
		{"jwks_uri of a metadata service", discovery("SELF/tenant", "https://169.254.169.254/keys"), false},
		{"jwks_uri of a private network", discovery("SELF/tenant", "https://10.0.0.1/keys"), false},
		{"discovery no JSON", func(p *provider) { p.discovery = "<html>" }, false},
		{"issuer twice", func(p *provider) {
			p.discovery = fmt.Sprintf(`{"issuer":"x","issuer":"%s/tenant","jwks_uri":"%s/keys"}`, p.URL, p.URL)
		}, false},
		{"redirect", func(p *provider) { p.status = 302; p.header.Set("Location", p.URL+"/keys?") }, false},
		{"not found", func(p *provider) { p.status = 404 }, false},
		{"huge", keys(`{"keys":[],"x":"` + strings.Repeat("x", maxDocument) + `"}`), false},
		{"largest", keys(strings.Repeat(" ", maxDocument-len(JWKS(testKey.Public()))) + string(JWKS(testKey.Public()))), true},
		{"too many keys", keys(string(JWKS(many...))), false},
		{"no keys member", keys(`{}`), false},
		{"keys no array", keys(`{"keys":{}}`), false},
		{"keys null", keys(`{"keys":null}`), false},
		{"key no object", keys(`{"keys":["x"]}`), false},
	} {
		p := newProvider(t, false)
		p.set(func() { c.change(p) })
		r := &Remote{AllowHTTP: true}
		key, err := r.Key(context.Background(), p.issuer(), testKey.ID())
		if c.ok != (err == nil) || err != nil && !errors.Is(err, ErrUnreachable) || c.ok && key.ID != testKey.ID() {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestRemoteTLS(t *testing.T) {
	p := newProvider(t, true)
	cert := p.Certificate()
	sum := sha1.Sum(cert.Raw)
	thumbprint := strings.ToUpper(hex.EncodeToString(sum[:]))
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	none := x509.NewCertPool()
	for _, c := range []struct {
		name        string
		roots       *x509.CertPool
		thumbprints []string
		want        error
	}{
		{"trusted", roots, nil, nil},
		{"trusted, thumbprint of another", roots, []string{strings.Repeat("0", 40)}, nil},
		{"not trusted", none, nil, ErrUnreachable},
		{"thumbprint", none, []string{strings.Repeat("0", 40), thumbprint}, nil},
		{"thumbprint of another", none, []string{strings.Repeat("0", 40)}, ErrThumbprint},
	} {
		r := &Remote{AllowHTTP: true, RootCAs: c.roots}
		issuer := p.issuer()
		issuer.Thumbprints = c.thumbprints
		if _, err := r.Key(context.Background(), issuer, testKey.ID()); !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	// The name must fit also when the certificate is known by its thumbprint.
	r := &Remote{AllowHTTP: true, RootCAs: none}
	other := Issuer{URL: strings.Replace(p.URL, "127.0.0.1", "localhost", 1) + "/tenant", Thumbprints: []string{thumbprint}}
	if _, err := r.Key(context.Background(), other, testKey.ID()); !errors.Is(err, ErrThumbprint) {
		t.Errorf("other name: %v", err)
	}
}

func TestRemoteGuard(t *testing.T) {
	p := newProvider(t, false)
	secure := newProvider(t, true)
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	for _, c := range []struct {
		name   string
		remote *Remote
		issuer Issuer
		ok     bool
	}{
		{"http", &Remote{}, p.issuer(), false},
		{"http, network allowed", &Remote{AllowedNetworks: loopback}, p.issuer(), false},
		{"https on loopback", &Remote{RootCAs: roots}, secure.issuer(), false},
		{"https, network allowed", &Remote{RootCAs: roots, AllowedNetworks: loopback}, secure.issuer(), true},
		{"https on loopback allowed", &Remote{RootCAs: roots, AllowHTTP: true}, secure.issuer(), true},
		{"no URL", &Remote{}, Issuer{}, false},
	} {
		if _, err := c.remote.Key(context.Background(), c.issuer, testKey.ID()); c.ok != (err == nil) || err != nil && !errors.Is(err, ErrUnreachable) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if n := p.fetches.Load(); n != 0 {
		t.Errorf("%d fetches", n)
	}
	for address, want := range map[string]bool{
		"8.8.8.8": true, "1.1.1.1": true, "2606:4700:4700::1111": true,
		"127.0.0.1": false, "127.9.9.9": false, "0.0.0.0": false, "0.1.2.3": false, "10.1.2.3": false, "172.16.0.1": false, "172.32.0.1": true,
		"192.168.1.1": false, "169.254.169.254": false, "100.64.0.1": false, "100.128.0.1": true, "192.0.0.1": false, "192.0.2.1": false,
		"198.18.0.1": false, "203.0.113.1": false, "224.0.0.1": false, "240.0.0.1": false, "255.255.255.255": false,
		"::": false, "::1": false, "fe80::1": false, "fc00::1": false, "fd00:ec2::254": false, "ff02::1": false, "::ffff:10.0.0.1": false, "::ffff:8.8.8.8": true,
		"64:ff9b::7f00:1": false, "2002:7f00:1::": false, "2001:0:7f00:1::": false, "2001:db8::1": false, "2001:4860:4860::8888": true, "fec0::1": false,
	} {
		if got := public(netip.MustParseAddr(address)); got != want {
			t.Errorf("public(%s) = %v", address, got)
		}
	}
}

func TestRemoteSingleFlight(t *testing.T) {
	p := newProvider(t, false)
	hold := make(chan struct{})
	p.set(func() { p.hold = hold })
	r := &Remote{AllowHTTP: true}
	ctx, cancel := context.WithCancel(context.Background())
	results := make(chan error, 20)
	for i := range 20 {
		go func() {
			c := context.Background()
			if i == 0 {
				c = ctx
			}
			_, err := r.Key(c, p.issuer(), testKey.ID())
			results <- err
		}()
	}
	for p.fetches.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-results; !errors.Is(err, context.Canceled) {
		t.Errorf("the one that gave up: %v", err)
	}
	close(hold)
	for range 19 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if n := p.fetches.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
}

func TestRemoteBounded(t *testing.T) {
	c := &clock{}
	r := &Remote{Now: c.Now}
	for i := range maxIssuers + 10 {
		c.advance(time.Second)
		r.entry(Issuer{URL: fmt.Sprint(i)})
		r.entry(Issuer{URL: "0"})
	}
	if _, ok := r.issuers["0\n"]; len(r.issuers) != maxIssuers || !ok {
		t.Errorf("%d issuers", len(r.issuers))
	}
}

func TestCacheAge(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"":                                   defaultAge,
		"public, max-age=600":                10 * time.Minute,
		"max-age=1":                          minAge,
		"Max-Age=99999999, must-revalidate":  maxAge,
		"max-age=-1":                         defaultAge,
		"no-store":                           minAge,
		`private, max-age="3600", immutable`: time.Hour,
	} {
		if got := cacheAge(header); got != want {
			t.Errorf("%q: %v", header, got)
		}
	}
}

func TestParseJWKS(t *testing.T) {
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p521, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	// jwk is a key as another implementation writes it, edited.
	jwk := func(key crypto.PublicKey, id, alg, use string, edit ...string) string {
		b, err := json.Marshal(jose.JSONWebKey{Key: key, KeyID: id, Algorithm: alg, Use: use})
		if err != nil {
			t.Fatal(err)
		}
		return strings.NewReplacer(edit...).Replace(string(b))
	}
	rsaKey, other := &testKey.private.PublicKey, &otherKey.private.PublicKey
	n, _ := json.Marshal(jose.JSONWebKey{Key: rsaKey})
	nValue := strings.Split(string(n), `"`)[slices.Index(strings.Split(string(n), `"`), "n")+2]
	for _, c := range []struct {
		name string
		keys []string
		want string // ids and algorithms
	}{
		{"RSA", []string{jwk(rsaKey, "a", "RS256", "sig")}, "a:RS256"},
		{"no alg, no use", []string{jwk(rsaKey, "a", "", "")}, "a:"},
		{"EC", []string{jwk(&p256.PublicKey, "a", "ES256", "sig"), jwk(&p521.PublicKey, "b", "", "")}, "a:ES256 b:"},
		{"encryption", []string{jwk(rsaKey, "a", "RS256", "enc"), jwk(rsaKey, "b", "RSA-OAEP", "")}, ""},
		{"key_ops", []string{jwk(rsaKey, "a", "", "", `{`, `{"key_ops":["verify"],`), jwk(rsaKey, "b", "", "", `{`, `{"key_ops":["encrypt"],`)}, "a:"},
		{"no id", []string{jwk(rsaKey, "", "RS256", "sig")}, ""},
		{"id no string", []string{jwk(rsaKey, "a", "RS256", "sig", `"a"`, `1`)}, ""},
		{"secret", []string{`{"kty":"oct","kid":"a","k":"c2VjcmV0"}`}, ""},
		{"other kind", []string{`{"kty":"OKP","crv":"Ed25519","kid":"a","x":"AA"}`, jwk(rsaKey, "b", "", "")}, "b:"},
		{"HMAC on an RSA key", []string{jwk(rsaKey, "a", "HS256", "sig")}, ""},
		{"ES256 on an RSA key", []string{jwk(rsaKey, "a", "ES256", "sig")}, ""},
		{"RS256 on an EC key", []string{jwk(&p256.PublicKey, "a", "RS256", "sig")}, ""},
		{"ES512 on P-256", []string{jwk(&p256.PublicKey, "a", "ES512", "sig")}, ""},
		{"1024 bits", []string{jwk(rsaKey, "a", "", "", nValue, nValue[:171])}, ""},
		{"even modulus", []string{jwk(rsaKey, "a", "", "", nValue, nValue[:340]+"AA")}, ""},
		{"exponent one", []string{jwk(rsaKey, "a", "", "", "AQAB", "AQ")}, ""},
		{"exponent even", []string{jwk(rsaKey, "a", "", "", "AQAB", "AQAA")}, ""},
		{"exponent long", []string{jwk(rsaKey, "a", "", "", "AQAB", "AQAAAAAB")}, ""},
		{"not on the curve", []string{jwk(&p256.PublicKey, "a", "", "", `"y":"`, `"y":"AAAA`)}, ""},
		{"wrong curve", []string{jwk(&p256.PublicKey, "a", "", "", "P-256", "P-384")}, ""},
		{"member twice", []string{jwk(rsaKey, "a", "", "", `{`, `{"kid":"b",`)}, "error"},
		{"different keys, one id", []string{jwk(rsaKey, "a", "RS256", ""), jwk(other, "a", "RS256", ""), jwk(other, "b", "RS256", "")}, "b:RS256"},
		{"three keys, one id", []string{jwk(rsaKey, "a", "", ""), jwk(other, "a", "", ""), jwk(rsaKey, "a", "", "")}, ""},
		{"one key twice", []string{jwk(rsaKey, "a", "RS256", ""), jwk(rsaKey, "a", "RS256", "")}, "a:RS256"},
		{"one key, two algorithms", []string{jwk(rsaKey, "a", "RS256", ""), jwk(rsaKey, "a", "RS512", "")}, "a:"},
	} {
		keys, err := ParseJWKS([]byte(`{"keys":[` + strings.Join(c.keys, ",") + `]}`))
		var got []string
		for _, k := range keys {
			got = append(got, k.ID+":"+k.Algorithm)
			switch k.Key.(type) {
			case *rsa.PublicKey, *ecdsa.PublicKey:
			default:
				t.Errorf("%s: %T", c.name, k.Key)
			}
		}
		if err != nil {
			got = []string{"error"}
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %q %v, want %q", c.name, s, err, c.want)
		}
	}
}

func FuzzParseJWKS(f *testing.F) {
	f.Add(JWKS(testKey.Public()))
	f.Add([]byte(`{"keys":[{"kty":"EC","kid":"a","crv":"P-256","x":"AA","y":"AA"}]}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		keys, err := ParseJWKS(document)
		if err != nil {
			return
		}
		for _, k := range keys {
			if r, ok := k.Key.(*rsa.PublicKey); k.ID == "" || ok && r.N.BitLen() < MinRSABits {
				t.Fatalf("%+v", k)
			}
		}
	})
}

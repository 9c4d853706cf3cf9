package token

import (
	"context"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	maxDocument = 1 << 20 // of discovery and key set
	maxIssuers  = 1000    // remembered
	fetchTime   = 5 * time.Second
	retryAfter  = 10 * time.Second // after a failure
	minAge      = 5 * time.Minute  // of a key set, whatever its Cache-Control says
	maxAge      = 24 * time.Hour
	defaultAge  = time.Hour
	maxStale    = 24 * time.Hour // beyond its age, while the issuer cannot be reached
)

var (
	// ErrUnreachable: the keys of an issuer could not be fetched. The cause is wrapped.
	ErrUnreachable = errors.New("token: cannot retrieve the keys of the issuer")
	// ErrThumbprint: the certificate of the issuer is neither trusted nor has it a configured thumbprint.
	ErrThumbprint = errors.New("token: the certificate of the issuer does not match the configured thumbprints")
)

// Issuer is an OpenID Connect provider.
type Issuer struct {
	URL string // as in iss
	// Thumbprints are hexadecimal SHA-1 sums of the topmost certificate that the server sends. They count only if the
	// system does not trust the server.
	Thumbprints []string
}

// Remote fetches and keeps the keys of issuers: discovery (OpenID Connect Discovery 1.0), then the key set. It fetches from
// public addresses only, by https, without redirects or proxies, and bounded in time and size. The zero value works. Fields
// must not change after first use. It is safe for concurrent use.
type Remote struct {
	// AllowedNetworks may be connected to though they are not public.
	AllowedNetworks []netip.Prefix
	// AllowHTTP permits loopback addresses, and http to them.
	AllowHTTP bool
	// MinRefresh is how much time is left between two fetches for the sake of an unknown key id. Zero: one minute.
	MinRefresh time.Duration
	// RootCAs replaces the system's, if set.
	RootCAs *x509.CertPool
	// Removed, if set, is called with the id of each key that an issuer no longer publishes.
	Removed func(keyID string)
	// Now is the time; nil: time.Now.
	Now func() time.Time

	mu      sync.Mutex
	issuers map[string]*issuerKeys // by URL and thumbprints
}

type issuerKeys struct {
	issuer Issuer
	used   time.Time // guarded by Remote.mu

	mu        sync.Mutex
	keys      map[string]PublicKey
	expires   time.Time     // of keys
	attempted time.Time     // when a fetch ended last
	err       error         // of that fetch
	fetching  chan struct{} // closed when the fetch under way ends
}

// Key returns the key of an issuer with an id. The errors are ErrKeyNotFound, ErrThumbprint, ErrUnreachable and those of the
// context.
func (r *Remote) Key(ctx context.Context, issuer Issuer, keyID string) (PublicKey, error) {
	e := r.entry(issuer)
	for waited := false; ; waited = true {
		e.mu.Lock()
		now := r.now()
		key, known := e.keys[keyID]
		if known && now.Before(e.expires) {
			e.mu.Unlock()
			return key, nil
		}
		if waited || !e.due(now, r.minRefresh()) {
			defer e.mu.Unlock()
			switch {
			case known && now.Before(e.expires.Add(maxStale)):
				return key, nil
			case e.err != nil:
				return PublicKey{}, e.err
			}
			return PublicKey{}, ErrKeyNotFound
		}
		done := e.fetch(r)
		e.mu.Unlock()
		if err := wait(ctx, done); err != nil {
			return PublicKey{}, err
		}
	}
}

// Refresh fetches the keys of an issuer now, and says whether that works.
func (r *Remote) Refresh(ctx context.Context, issuer Issuer) error {
	e := r.entry(issuer)
	e.mu.Lock()
	done := e.fetch(r)
	e.mu.Unlock()
	if err := wait(ctx, done); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}

func wait(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *Remote) now() time.Time {
	if r.Now == nil {
		return time.Now()
	}
	return r.Now()
}

func (r *Remote) minRefresh() time.Duration {
	if r.MinRefresh == 0 {
		return time.Minute
	}
	return r.MinRefresh
}

func (r *Remote) entry(issuer Issuer) *issuerKeys {
	// Thumbprints belong to the name: what one account trusts must not count for another.
	name := issuer.URL + "\n" + strings.ToLower(strings.Join(issuer.Thumbprints, "\n"))
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if e, ok := r.issuers[name]; ok {
		e.used = now
		return e
	}
	if r.issuers == nil {
		r.issuers = make(map[string]*issuerKeys)
	}
	if len(r.issuers) >= maxIssuers {
		oldest := ""
		for n, e := range r.issuers {
			if oldest == "" || e.used.Before(r.issuers[oldest].used) {
				oldest = n
			}
		}
		delete(r.issuers, oldest)
	}
	e := &issuerKeys{issuer: Issuer{URL: issuer.URL, Thumbprints: slices.Clone(issuer.Thumbprints)}, used: now}
	r.issuers[name] = e
	return e
}

// due says whether it is time to ask the issuer again.
func (e *issuerKeys) due(now time.Time, minRefresh time.Duration) bool {
	switch {
	case e.fetching != nil || e.attempted.IsZero():
		return true
	case e.err != nil:
		return now.Sub(e.attempted) >= min(retryAfter, minRefresh)
	case !now.Before(e.expires):
		return true
	}
	return now.Sub(e.attempted) >= minRefresh
}

// fetch starts a fetch, or joins the one under way. It goes on if the caller gives up: others may wait for it.
func (e *issuerKeys) fetch(r *Remote) <-chan struct{} {
	if e.fetching != nil {
		return e.fetching
	}
	done := make(chan struct{})
	e.fetching = done
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), fetchTime)
		defer cancel()
		keys, age, err := r.get(ctx, e.issuer)
		var removed []string
		e.mu.Lock()
		e.attempted, e.err = r.now(), err
		if err == nil {
			for id, old := range e.keys {
				if now, ok := keys[id]; !ok || !sameKey(old.Key, now.Key) {
					removed = append(removed, id)
				}
			}
			e.keys, e.expires = keys, e.attempted.Add(age)
		}
		e.fetching = nil
		e.mu.Unlock()
		if r.Removed != nil {
			for _, id := range removed {
				r.Removed(id)
			}
		}
		close(done)
	}()
	return done
}

// get fetches the discovery document and the key set.
func (r *Remote) get(ctx context.Context, issuer Issuer) (map[string]PublicKey, time.Duration, error) {
	keys, age, err := r.discover(ctx, issuer)
	if err != nil {
		if !errors.Is(err, ErrThumbprint) {
			err = fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
		return nil, 0, err
	}
	byID := make(map[string]PublicKey, len(keys))
	for _, k := range keys {
		byID[k.ID] = k
	}
	return byID, age, nil
}

func (r *Remote) discover(ctx context.Context, issuer Issuer) ([]PublicKey, time.Duration, error) {
	body, _, err := r.document(ctx, strings.TrimSuffix(issuer.URL, "/")+"/.well-known/openid-configuration", issuer.Thumbprints)
	if err != nil {
		return nil, 0, err
	}
	discovery, err := parseObject(body)
	if err != nil {
		return nil, 0, errors.New("the discovery document is not a JSON object")
	}
	if name, _ := discovery.String("issuer"); name != issuer.URL {
		return nil, 0, fmt.Errorf("the discovery document is that of %q", name)
	}
	jwksURI, _ := discovery.String("jwks_uri")
	body, header, err := r.document(ctx, jwksURI, issuer.Thumbprints)
	if err != nil {
		return nil, 0, err
	}
	keys, err := ParseJWKS(body)
	return keys, cacheAge(header.Get("Cache-Control")), err
}

// cacheAge is the max-age of a Cache-Control header, within bounds.
func cacheAge(header string) time.Duration {
	for directive := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch strings.ToLower(name) {
		case "no-store", "no-cache":
			return minAge
		case "max-age":
			if n, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil {
				return min(max(time.Duration(n)*time.Second, minAge), maxAge)
			}
		}
	}
	return defaultAge
}

// Document fetches a document that is no set of keys, under the same rules.
func (r *Remote) Document(ctx context.Context, rawURL string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	body, _, err := r.document(ctx, rawURL, nil)
	return body, err
}

// document fetches one document.
func (r *Remote) document(ctx context.Context, rawURL string, thumbprints []string) ([]byte, http.Header, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, nil, err
	}
	if u.Scheme != "https" && !(u.Scheme == "http" && r.AllowHTTP) || u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil, nil, fmt.Errorf("the URL %q is not allowed", rawURL)
	}
	req, err := http.NewRequestWithContext(ctx, "GET", u.String(), nil)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Accept", "application/json, application/samlmetadata+xml;q=0.9, */*;q=0.1")
	dialer := net.Dialer{Control: guard(r.AllowedNetworks, r.AllowHTTP, u.Scheme == "http")}
	transport := &http.Transport{
		DialContext:            dialer.DialContext,
		TLSClientConfig:        r.tls(u.Hostname(), thumbprints),
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 64 << 10,
	}
	resp, err := transport.RoundTrip(req) // a transport follows no redirects
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("%s answers %s", rawURL, resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	if err != nil {
		return nil, nil, err
	}
	if len(body) > maxDocument {
		return nil, nil, fmt.Errorf("%s is longer than %d bytes", rawURL, maxDocument)
	}
	return body, resp.Header, nil
}

// tls verifies the server as usual; if that fails and there are thumbprints, the topmost certificate sent must have one of
// them, and is then the only root that the chain may end in.
func (r *Remote) tls(host string, thumbprints []string) *tls.Config {
	config := &tls.Config{RootCAs: r.RootCAs, MinVersion: tls.VersionTLS12}
	if len(thumbprints) == 0 {
		return config
	}
	config.InsecureSkipVerify = true // VerifyConnection does it
	config.VerifyConnection = func(state tls.ConnectionState) error {
		certs := state.PeerCertificates
		opts := x509.VerifyOptions{DNSName: host, Roots: r.RootCAs, Intermediates: x509.NewCertPool()}
		for _, c := range certs[1:] {
			opts.Intermediates.AddCert(c)
		}
		if _, err := certs[0].Verify(opts); err == nil {
			return nil
		}
		top := certs[len(certs)-1]
		sum := sha1.Sum(top.Raw)
		thumbprint := hex.EncodeToString(sum[:])
		if !slices.ContainsFunc(thumbprints, func(t string) bool { return strings.EqualFold(t, thumbprint) }) {
			return ErrThumbprint
		}
		opts.Roots = x509.NewCertPool()
		opts.Roots.AddCert(top)
		if _, err := certs[0].Verify(opts); err != nil {
			return fmt.Errorf("%w: %w", ErrThumbprint, err)
		}
		return nil
	}
	return config
}

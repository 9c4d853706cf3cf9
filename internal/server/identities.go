package server

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"usher/internal/identitypool"
	"usher/internal/sts"
)

// The names that this server goes by as an issuer, what else identity pools are configured with, and what operators ask of
// them.

// publicURL checks a public URL and takes the slash off its end.
func publicURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", fmt.Errorf("%q: want http(s)://host[:port][/path]", text)
	}
	return strings.TrimSuffix(text, "/"), nil
}

// guestsPerMinute is how many guests a client address may make by default: what AWS grants an account (25 calls of GetId in a
// second), since a proxy or a firm's gateway is one address.
const guestsPerMinute = 25 * 60

// guestsPerMinute is how many guests a client address may make: what is set, or by default any number where only this machine
// can reach the server.
func (s *Server) guestsPerMinute() int {
	if s.cfg.GuestsPerMinute == "" && !s.private() {
		return guestsPerMinute
	}
	return s.cfg.guestsPerMinute
}

// completeIdentities reads and checks the settings of issuers and identity pools.
func (c *Config) completeIdentities() error {
	var aliases []string
	for _, text := range list(c.AliasURLs) {
		alias, err := publicURL(text)
		if err != nil {
			return fmt.Errorf("--alias-urls %w", err)
		}
		aliases = append(aliases, alias)
	}
	c.AliasURLs = strings.Join(aliases, ",")
	if c.CompatIssuer != "" && c.CompatIssuer != "aws" {
		return fmt.Errorf("--compat-issuer %q: want aws, or nothing", c.CompatIssuer)
	}
	if c.GuestsPerMinute != "" {
		n, err := strconv.ParseUint(c.GuestsPerMinute, 10, 31)
		if err != nil {
			return fmt.Errorf("--guests-per-minute %q: want a number", c.GuestsPerMinute)
		}
		c.guestsPerMinute = int(n)
	}
	var err error
	if c.upstreams, err = namedURLs("upstream-sts", "an identity pool's id", c.UpstreamSTS, func(pool string) bool {
		_, id, ok := strings.Cut(pool, ":")
		return ok && id != ""
	}); err != nil {
		return err
	}
	c.providers, err = namedURLs("provider-urls", "google, apple, facebook, amazon or twitter", c.ProviderURLs, func(name string) bool {
		return slices.Contains([]string{"google", "apple", "facebook", "amazon", "twitter"}, name)
	})
	return err
}

// namedURLs reads a setting of NAME=URL, comma separated.
func namedURLs(setting, names, text string, known func(string) bool) (map[string]string, error) {
	urls := map[string]string{}
	for _, entry := range list(text) {
		name, address, ok := strings.Cut(entry, "=")
		if _, twice := urls[name]; !ok || twice || !known(name) {
			return nil, fmt.Errorf("--%s %q: want NAME=URL, each name once, where the name is %s", setting, entry, names)
		}
		if err := checkOutbound(setting, address); err != nil {
			return nil, err
		}
		urls[name] = strings.TrimSuffix(address, "/")
	}
	return urls, nil
}

// identityIssuer is the iss of identity pools' tokens beneath a public URL.
func identityIssuer(publicURL string) string { return publicURL + "/identity" }

// urls are the URLs that mean this server, the public URL first.
func (s *Server) urls() []string { return append([]string{s.publicURL}, list(s.cfg.AliasURLs)...) }

// isIdentityIssuer reports whether an issuer is that of identity pools here.
func (s *Server) isIdentityIssuer(iss string) bool {
	for _, u := range s.urls() {
		if iss == identityIssuer(u) {
			return true
		}
	}
	return false
}

// identityIssuers are the names under which sessions of identity pools have condition keys, beside AWS's.
func (s *Server) identityIssuers() []string {
	var names []string
	for _, u := range s.urls() {
		_, name, _ := strings.Cut(identityIssuer(u), "://")
		names = append(names, name)
	}
	return names
}

// samlEndpoints are the addresses of this server that SAML responses may be sent to.
func (s *Server) samlEndpoints() []string {
	var list []string
	for _, u := range s.urls() {
		list = append(list, u+"/saml")
	}
	return list
}

func (c *Config) stsProviders() sts.Providers {
	return sts.Providers{Google: c.providers["google"], Facebook: c.providers["facebook"], Amazon: c.providers["amazon"]}
}

func (c *Config) identityEndpoints() identitypool.Endpoints {
	return identitypool.Endpoints{Google: c.providers["google"], Apple: c.providers["apple"], Facebook: c.providers["facebook"], Amazon: c.providers["amazon"],
		Twitter: c.providers["twitter"]}
}

// Identity is an identity with the usernames of its logins at user pools, by sub.
type Identity struct {
	*identitypool.Identity
	Usernames map[string]string
}

func (s *Server) identityRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /identity", func(w http.ResponseWriter, r *http.Request) {
		i, err := s.Identity(r.Context(), r.FormValue("id"))
		answer(w, i, err)
	})
	mux.HandleFunc("GET /identity-of", func(w http.ResponseWriter, r *http.Request) {
		i, err := s.IdentityOf(r.Context(), r.FormValue("pool"), r.FormValue("provider"), r.FormValue("user"))
		answer(w, i, err)
	})
}

// Identity tells who an identity is.
func (s *Server) Identity(ctx context.Context, id string) (*Identity, error) {
	i, err := s.identities.Lookup(ctx, id)
	return s.named(ctx, i, err)
}

// IdentityOf finds the identity that a user of a provider has in an identity pool. A user of a user pool may be named by sub,
// username or alias, the pool by its id alone.
func (s *Server) IdentityOf(ctx context.Context, pool, provider, user string) (*Identity, error) {
	if err := s.db.Refresh(ctx); err != nil {
		return nil, err
	}
	if sub, _, err := s.users.LookupUser(ctx, userPoolIn(provider), user); err == nil {
		user = sub
	}
	i, err := s.identities.LookupUser(ctx, pool, provider, user)
	return s.named(ctx, i, err)
}

// userPoolIn is the user pool's id that a provider's name ends with, if it is one of a user pool.
func userPoolIn(provider string) string { return provider[strings.LastIndexByte(provider, '/')+1:] }

func (s *Server) named(ctx context.Context, i *identitypool.Identity, err error) (*Identity, error) {
	if err != nil {
		return nil, err
	}
	named := &Identity{i, map[string]string{}}
	for _, l := range i.Logins {
		if _, name, err := s.users.LookupUser(ctx, userPoolIn(l.Provider), l.Subject); err == nil {
			named.Usernames[l.Subject] = name
		}
	}
	return named, nil
}

// Identity tells who an identity is.
func (c Control) Identity(ctx context.Context, id string) (Identity, error) {
	var i Identity
	err := c.call(ctx, http.MethodGet, "/identity?id="+url.QueryEscape(id), nil, &i)
	return i, err
}

// IdentityOf finds the identity of a user. See Server.IdentityOf.
func (c Control) IdentityOf(ctx context.Context, pool, provider, user string) (Identity, error) {
	var i Identity
	err := c.call(ctx, http.MethodGet, "/identity-of?"+url.Values{"pool": {pool}, "provider": {provider}, "user": {user}}.Encode(), nil, &i)
	return i, err
}

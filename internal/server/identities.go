package server

import (
	"fmt"
	"net/url"
	"strings"

	"usher/internal/identitypool"
	"usher/internal/sts"
)

// The names that this server goes by as an issuer, and what else identity pools are configured with.

// publicURL checks a public URL and takes the slash off its end.
func publicURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", fmt.Errorf("%q: want http(s)://host[:port][/path]", text)
	}
	return strings.TrimSuffix(text, "/"), nil
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
	var err error
	if c.upstreams, err = namedURLs("upstream-sts", "an identity pool's id", c.UpstreamSTS, func(pool string) bool {
		_, id, ok := strings.Cut(pool, ":")
		return ok && id != ""
	}); err != nil {
		return err
	}
	c.providers, err = namedURLs("provider-urls", "google, apple, facebook or amazon", c.ProviderURLs, func(name string) bool {
		return name == "google" || name == "apple" || name == "facebook" || name == "amazon"
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

func (c *Config) stsProviders() sts.Providers {
	return sts.Providers{Google: c.providers["google"], Facebook: c.providers["facebook"], Amazon: c.providers["amazon"]}
}

func (c *Config) identityEndpoints() identitypool.Endpoints {
	return identitypool.Endpoints{Google: c.providers["google"], Apple: c.providers["apple"], Facebook: c.providers["facebook"], Amazon: c.providers["amazon"]}
}

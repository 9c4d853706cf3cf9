package identitypool

import (
	"slices"
	"strings"
)

// names is the one table of spellings. AWS fixes three spellings of a provider (token issuer, login key, condition key) to
// its own hosts; here tokens are issued under the installation's own host, every spelling is accepted, and comparisons use
// the canonical form: the id of the user pool.
type names struct {
	hosts   []string // public host, port and path: the public URLs without their schemes
	issuers []string // of the tokens of this service: the first is that of new ones
}

// newNames makes the table. aws has tokens say that AWS issued them.
func newNames(aws bool, publicURLs ...string) names {
	var n names
	if aws {
		n.issuers = append(n.issuers, "https://"+builtIn)
	}
	for _, u := range publicURLs {
		n.hosts, n.issuers = append(n.hosts, withoutScheme(u)), append(n.issuers, u+"/identity")
	}
	return n
}

func withoutScheme(url string) string {
	return strings.TrimPrefix(strings.TrimPrefix(url, "https://"), "http://")
}

// builtIn is how AWS and policies spell this service as an identity provider.
const builtIn = "cognito-identity.amazonaws.com"

// userPool returns the id of the user pool that a provider name or login key means.
func (n names) userPool(spelling string) (id string, ok bool) {
	spelling = withoutScheme(spelling)
	i := strings.LastIndexByte(spelling, '/')
	if i < 0 {
		return "", false
	}
	host, id := spelling[:i], spelling[i+1:]
	region, name, ok := strings.Cut(id, "_")
	if !ok || region == "" || name == "" {
		return "", false
	}
	switch host {
	case "cognito-idp." + region + ".amazonaws.com", "cognito-idp." + region + ".amazonaws.com.cn":
		return id, true
	}
	if slices.Contains(n.hosts, host) {
		return id, true
	}
	return "", false
}

// isIdentityService reports whether a login key means this service itself, whose tokens are developer tokens.
func (n names) isIdentityService(key string) bool {
	key = withoutScheme(key)
	if host, ok := strings.CutSuffix(key, "/identity"); ok && slices.Contains(n.hosts, host) || key == builtIn {
		return true
	}
	rest, ok := strings.CutPrefix(key, "cognito-identity.")
	region, domain, _ := strings.Cut(rest, ".")
	return ok && region != "" && !strings.Contains(region, "/") && (domain == "amazonaws.com" || domain == "amazonaws.com.cn")
}
